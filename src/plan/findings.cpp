#include "plan/findings.h"

#include <fmt/format.h>

#include <algorithm>
#include <cctype>
#include <cmath>

namespace hesse {
namespace {

std::string gigabytes(int64_t bytes) { return fmt::format("{:.3g} GB", static_cast<double>(bytes) / 1e9); }

// As a number for a flag: three digits, rounded up.
std::string gigabytes_up(int64_t bytes) {
  const double digits = std::pow(10, std::floor(std::log10(static_cast<double>(bytes))) - 2);
  return fmt::format("{:.3g}", std::ceil(static_cast<double>(bytes) / digits) * digits / 1e9);
}

bool fits(const MemoryPlan& plan, int64_t budget_bytes) { return with_margin(plan.peak_bytes()) <= budget_bytes; }

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
                 [](unsigned char c) { return c == ' ' ? '-' : static_cast<char>(std::tolower(c)); });
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

Finding memory_finding(const ModelShapes& model, const MemorySettings& settings, int64_t budget_bytes) {
  const MemoryPlan plan = plan_memory(model, settings);
  const auto what = [&](const MemoryPlan& of, std::string_view how) {
    return fmt::format("about {} of memory at the peak{}, and a tenth to be sure; the budget is {}",
                       gigabytes(of.peak_bytes()), how, gigabytes(budget_bytes));
  };
  if (fits(plan, budget_bytes)) return {Severity::kGood, "memory.fits", what(plan, ""), peak_text(plan), ""};
  MemorySettings in_files = settings;
  in_files.spill = settings.size.tokens() > 0;
  const MemoryPlan least = plan_memory(model, in_files);
  const std::string_view how = in_files.spill ? " with activations in files" : "";
  if (fits(least, budget_bytes)) {
    return {Severity::kNote, "memory.spill", what(least, how),
            fmt::format("{} with activations in memory", gigabytes(plan.peak_bytes())), ""};
  }
  const std::string same =
      fmt::format("--memory {}, the least for this result", gigabytes_up(with_margin(least.peak_bytes())));
  const MemoryAdvice advice = fit_memory(model, settings, budget_bytes);
  if (advice.fits) {
    return {Severity::kError, "memory.too-little", what(least, how), peak_text(least),
            fmt::format("{}; or {} for another in {}", same, fmt::join(advice.flags, " "),
                        gigabytes(with_margin(advice.peak_bytes)))};
  }
  return {Severity::kError, "memory.impossible", what(least, how), peak_text(least),
          fmt::format("{}; the least for any: {} with {}", same, gigabytes(advice.peak_bytes),
                      fmt::join(advice.flags, " "))};
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
