#include "plan/findings.h"

#include <fmt/format.h>

#include <algorithm>
#include <cctype>

namespace hesse {
namespace {

std::string gigabytes(int64_t bytes) { return fmt::format("{:.1f} GB", static_cast<double>(bytes) / 1e9); }

std::string peak_text(const MemoryPlan& plan) {
  const PhaseMemory& peak = plan.peak();
  const MemoryPart& part = *std::max_element(
      peak.parts.begin(), peak.parts.end(), [](const MemoryPart& a, const MemoryPart& b) { return a.bytes < b.bytes; });
  const std::string where = peak.where.empty() ? "" : fmt::format(", '{}'", peak.where);
  return fmt::format("the peak is in phase {}{}; most of it: {}, {}", peak.phase, where, part.name,
                     gigabytes(static_cast<int64_t>(part.bytes)));
}

std::string lower(std::string_view word) {
  std::string text(word);
  std::transform(text.begin(), text.end(), text.begin(),
                 [](unsigned char c) { return static_cast<char>(std::tolower(c)); });
  return text;
}

// A yes is better than an answer that is not known.
bool better(const LoaderRow& a, const LoaderRow& b) {
  const auto rank = [](Verdict v) { return v == Verdict::kYes ? 0 : v == Verdict::kUnknown ? 1 : 2; };
  return rank(a.verdict) < rank(b.verdict);
}

// "on 1, 2 and 4 devices", of the kernels of one engine together.
std::vector<int64_t> devices_that_load(const std::vector<LoaderRow>& table, std::string_view engine) {
  std::vector<int64_t> devices;
  for (const LoaderRow& row : table) {
    if (row.engine == engine && row.verdict == Verdict::kYes) devices.push_back(row.devices);
  }
  std::sort(devices.begin(), devices.end());
  devices.erase(std::unique(devices.begin(), devices.end()), devices.end());
  return devices;
}

}  // namespace

Finding memory_finding(const ModelShapes& model, const MemorySettings& settings, int64_t available_bytes,
                       Spilling spilling) {
  const MemoryPlan plan = plan_memory(model, settings);
  const std::string what =
      fmt::format("{} of memory at the peak, {} available", gigabytes(plan.peak_bytes()), gigabytes(available_bytes));
  if (plan.peak_bytes() <= available_bytes) return {Severity::kGood, "memory.fits", what, peak_text(plan), ""};
  const MemoryAdvice advice = fit_memory(model, settings, available_bytes, spilling);
  if (advice.fits) {
    return {Severity::kWarning, "memory.too-little", what, peak_text(plan),
            fmt::format("{}: {}", fmt::join(advice.turned, " "), gigabytes(advice.peak_bytes))};
  }
  return {Severity::kError, "memory.impossible", what, peak_text(plan),
          fmt::format("a machine with {}, the least that works with {}", gigabytes(advice.peak_bytes),
                      fmt::join(advice.turned, " "))};
}

Finding disk_finding(const DiskPlan& plan, int64_t free_bytes) {
  const std::string what = fmt::format("{} of disk, {} free", gigabytes(plan.total()), gigabytes(free_bytes));
  const std::string why = fmt::format("result {}, journal {}, activations {}", gigabytes(plan.result_bytes),
                                      gigabytes(plan.journal_bytes), gigabytes(plan.spill_bytes));
  if (plan.total() <= free_bytes) return {Severity::kGood, "disk.fits", what, why, ""};
  return {Severity::kError, "disk.too-little", what, why, "an output directory on a larger disk"};
}

std::vector<Finding> loader_findings(const std::vector<LoaderRow>& table) {
  std::vector<Finding> findings;
  for (size_t i = 0; i < table.size(); ++i) {
    if (i > 0 && table[i].engine == table[i - 1].engine) continue;
    const LoaderRow* best = &table[i];
    for (const LoaderRow& row : table) {
      if (row.engine == best->engine && row.devices == 1 && better(row, *best)) best = &row;
    }
    const std::string check = "loader." + lower(best->engine);
    const std::string why = fmt::format("{}{}{}", best->why, best->why.empty() ? "" : "; ", best->source);
    if (best->verdict == Verdict::kYes) {
      const std::vector<int64_t> devices = devices_that_load(table, best->engine);
      const std::string on = devices.back() > 1 ? fmt::format(" on {} devices", fmt::join(devices, ", ")) : "";
      findings.push_back(
          {Severity::kGood, check, fmt::format("{} loads it ({}){}", best->engine, best->kernel, on), why, ""});
    } else {
      const bool known = best->verdict == Verdict::kNo;
      findings.push_back({known ? Severity::kWarning : Severity::kNote, check,
                          fmt::format("{} {} load it", best->engine, known ? "will not" : "may or may not"), why,
                          "see the group sizes, or take another engine"});
    }
  }
  return findings;
}

}  // namespace hesse
