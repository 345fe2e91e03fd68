#include "cli/eval_text.h"

#include <fmt/format.h>

#include <algorithm>
#include <vector>

#include "cli/text.h"

namespace hesse {
namespace {

constexpr size_t kBlocksShown = 12;
constexpr double kBarColumns = 30;

std::string spread(const std::optional<Interval>& interval, int digits, double factor = 1) {
  if (!interval) return "";
  return fmt::format(" ({:.{}f} to {:.{}f})", factor * interval->low, digits, factor * interval->high, digits);
}

// "20 windows of 512 tokens, no BOS"
std::string protocol(const EvalResult& result) {
  return fmt::format("{} of {} tokens, {}", counted(result.windows, "window"), result.window,
                     result.bos ? "BOS before each" : "no BOS");
}

std::string footnote(const EvalResult& result) {
  if (!result.interval) return "(no intervals: they need at least 5 windows)\n";
  return "(in brackets: 95 % intervals, by block bootstrap over the windows)\n";
}

std::string rate_of(const EvalResult& result) {
  if (!result.blocks.empty()) return result.compute;  // most of the time went to the blocks
  const double rate = result.seconds > 0 ? static_cast<double>(result.predictions) / result.seconds : 0;
  return fmt::format("{:.0f} tokens/s, {}", rate, result.compute);
}

std::string against_lines(const AgainstResult& against) {
  std::string text = fact("reference", fmt::format("{:.4f}  {}", against.perplexity, against.name));
  text += fact("ratio", fmt::format("{:.4f}{}  {:+.2f} %", against.perplexity_ratio, spread(against.ratio_interval, 4),
                                    100 * (against.perplexity_ratio - 1)));
  text += fact("KL", fmt::format("{:.5f}{} nats a token; median {:.5f}, 99 % below {:.4f}", against.kl,
                                 spread(against.kl_interval, 5), against.kl_median, against.kl_p99));
  text += fact("agreement", fmt::format("{:.2f} %{} of the most likely tokens are the same",
                                        100 * against.top1_agreement, spread(against.agreement_interval, 2, 100)));
  return text;
}

std::string blocks_lines(const EvalResult& result) {
  std::vector<BlockEffect> blocks = result.blocks;
  std::stable_sort(blocks.begin(), blocks.end(),
                   [](const BlockEffect& a, const BlockEffect& b) { return a.share > b.share; });
  const double most = std::max(blocks.front().share, 1e-9);
  std::string text =
      "\nwhat each block causes: the KL divergence falls by this share when it alone is the reference's\n";
  for (size_t i = 0; i < std::min(kBlocksShown, blocks.size()); ++i) {
    const BlockEffect& block = blocks[i];
    const double bar = std::max(0.0, kBarColumns * block.share / most);
    text += fmt::format("layer {:>3}  {:>6.2f} %  to {:.5f}  {}\n", block.layer, 100 * block.share, block.kl,
                        std::string(static_cast<size_t>(bar + 0.5), '='));
  }
  if (blocks.size() > kBlocksShown) text += fmt::format("and {} more; --json has all\n", blocks.size() - kBlocksShown);
  return text;
}

std::string one_model(const EvalResult& result) {
  std::string text = fact("perplexity", fmt::format("{:.4f}{}  {}, {}", result.perplexity, spread(result.interval, 3),
                                                    protocol(result), result.format));
  text += fact("token loss", fmt::format("{:.4f} nats; median {:.4f}, without the 1 % at either end {:.4f}",
                                         result.mean_nll, result.median_nll, result.trimmed_nll));
  if (result.bits_per_byte >= 0) text += fact("bits/byte", fmt::format("{:.4f}", result.bits_per_byte));
  if (result.against) text += against_lines(*result.against);
  text += fact("time", fmt::format("{} ({})", format_duration(result.seconds), rate_of(result)));
  text += footnote(result);
  if (!result.blocks.empty()) text += blocks_lines(result);
  return text;
}

using Row = std::vector<std::string>;

// Columns as wide as their widest cell; the first to the left, the others to the right.
std::string table(const std::vector<Row>& rows) {
  std::vector<size_t> widths(rows.front().size(), 0);
  for (const Row& row : rows) {
    for (size_t c = 0; c < row.size(); ++c) widths[c] = std::max(widths[c], static_cast<size_t>(columns(row[c])));
  }
  std::string text;
  for (const Row& row : rows) {
    for (size_t c = 0; c < row.size(); ++c) {
      const std::string space(widths[c] - static_cast<size_t>(columns(row[c])), ' ');
      text += c == 0 ? row[c] + space : "  " + space + row[c];
    }
    text.erase(text.find_last_not_of(' ') + 1);
    text += '\n';
  }
  return text;
}

Row row_of(const EvalResult& result) {
  Row row = {result.name, fmt::format("{:.4f}{}", result.perplexity, spread(result.interval, 3)),
             fmt::format("{:.4f}", result.bits_per_byte)};
  if (!result.against) {
    row.insert(row.end(), {"", "", "", "", ""});
    return row;
  }
  const AgainstResult& a = *result.against;
  row.insert(row.end(), {fmt::format("{:.4f}{}", a.perplexity_ratio, spread(a.ratio_interval, 4)),
                         fmt::format("{:.5f}{}", a.kl, spread(a.kl_interval, 5)), fmt::format("{:.5f}", a.kl_median),
                         fmt::format("{:.4f}", a.kl_p99), fmt::format("{:.2f} %", 100 * a.top1_agreement)});
  return row;
}

std::string several_models(const EvalResult& result) {
  std::vector<Row> rows = {{"model", "perplexity", "bits/byte", "ratio", "KL, nats", "median", "99 %", "agree"}};
  rows.push_back(row_of(result));
  for (const EvalResult& other : result.others) rows.push_back(row_of(other));
  const EvalResult& last = result.others.back();
  std::string text = table(rows);
  if (last.against) {
    text += fmt::format("reference: {}, perplexity {:.4f}\n", last.against->name, last.against->perplexity);
  }
  return text + fmt::format("{}; {}\n", protocol(result), format_duration(result.seconds)) + footnote(result);
}

std::string percent(double share, const Interval& interval) {
  return fmt::format("{:.2f} %{}", 100 * share, spread(interval, 1, 100));
}

}  // namespace

std::string eval_text(const EvalResult& result) {
  return result.others.empty() ? one_model(result) : several_models(result);
}

std::string positions_text(const EvalResult& result) {
  const bool kl = result.against.has_value();
  std::vector<Row> rows = {kl ? Row{"tokens before", "loss, nats", "KL, nats"} : Row{"tokens before", "loss, nats"}};
  for (const PositionLoss& range : result.positions) {
    const std::string where =
        range.first == range.last ? fmt::format("{}", range.first) : fmt::format("{} to {}", range.first, range.last);
    rows.push_back({where, fmt::format("{:.4f}", range.nll)});
    if (kl) rows.back().push_back(fmt::format("{:.5f}", range.kl));
  }
  return '\n' + table(rows);
}

std::string tasks_text(const TasksResult& result) {
  std::string text;
  for (const TaskResult& task : result.tasks) {
    text +=
        fmt::format("{}: {}, {:.1f} % by guessing\n", task.name, counted(task.items, "question"), 100 * task.chance);
    std::vector<Row> rows = {{"model", "acc", "acc_norm"}};
    for (const TaskScore& score : task.models) {
      rows.push_back({score.name, percent(score.accuracy, score.accuracy_interval),
                      percent(score.accuracy_norm, score.accuracy_norm_interval)});
    }
    text += table(rows) + '\n';
  }
  return text +
         fmt::format("acc: the choice of the largest likelihood; acc_norm: per character of the choice; {}; {}\n",
                     result.bos ? "BOS before each question" : "no BOS", format_duration(result.seconds)) +
         "(in brackets: 95 % intervals of Wilson)\n";
}

}  // namespace hesse
