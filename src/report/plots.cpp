#include "report/plots.h"

#include <fmt/format.h>

#include <algorithm>
#include <cmath>
#include <limits>

#include "report/html.h"

namespace hesse {
namespace {

constexpr double kWidth = 640, kHeight = 240, kLeft = 56, kRight = 12, kTop = 12, kBottom = 34;
constexpr int kShades = 9;

struct Range {
  double least = std::numeric_limits<double>::infinity();
  double most = -std::numeric_limits<double>::infinity();
  void add(double value) {
    if (!std::isfinite(value)) return;
    least = std::min(least, value);
    most = std::max(most, value);
  }
  bool empty() const { return least > most; }
  void widen() {
    if (most - least < 1e-9) most = least + 1;
  }
  double share(double value) const { return (value - least) / (most - least); }
};

std::string figure(const std::string& title, const std::string& picture) {
  return fmt::format("<figure>\n<figcaption>{}</figcaption>\n{}</figure>\n", escaped(title), picture);
}

std::string open_svg(const std::string& title, double width, double height) {
  return fmt::format("<svg viewBox=\"0 0 {:.0f} {:.0f}\" role=\"img\"><title>{}</title>\n", width, height,
                     escaped(title));
}

std::string label(double x, double y, std::string_view anchor, std::string_view text) {
  return fmt::format("<text x=\"{:.1f}\" y=\"{:.1f}\" text-anchor=\"{}\">{}</text>\n", x, y, anchor, escaped(text));
}

// Five lines across, each with its number.
std::string vertical_axis(const Range& range, const std::string& unit) {
  std::string out;
  for (int i = 0; i <= 4; ++i) {
    const double y = kTop + (kHeight - kTop - kBottom) * (1 - i / 4.0);
    const double value = range.least + (range.most - range.least) * i / 4.0;
    out += fmt::format("<line class=\"grid\" x1=\"{:.0f}\" x2=\"{:.0f}\" y1=\"{:.1f}\" y2=\"{:.1f}\"/>\n", kLeft,
                       kWidth - kRight, y, y);
    out += label(kLeft - 6, y + 4, "end", fmt::format("{:.3g}", value));
  }
  return out + label(kLeft - 14, kHeight - 16, "end", unit);
}

class CurvePlot {
 public:
  explicit CurvePlot(const Plot& plot) : plot_(plot) {
    for (const Curve& curve : plot.curves) {
      for (const double value : curve.values) range_.add(value);
    }
    range_.widen();
  }

  std::string draw() const {
    std::string out = open_svg(plot_.title, kWidth, kHeight) + vertical_axis(range_, plot_.unit) + depth_axis();
    for (size_t i = 0; i < plot_.curves.size(); ++i) out += draw(plot_.curves[i], i % 5);
    return out + "</svg>\n" + legend();
  }

 private:
  double x(size_t i) const {
    const double count = static_cast<double>(std::max<size_t>(2, plot_.ticks.size()) - 1);
    return kLeft + (kWidth - kLeft - kRight) * static_cast<double>(i) / count;
  }
  double y(double value) const { return kTop + (kHeight - kTop - kBottom) * (1 - range_.share(value)); }

  std::string depth_axis() const {
    std::string out;
    const size_t step = std::max<size_t>(1, (plot_.ticks.size() + 11) / 12);
    for (size_t i = 0; i < plot_.ticks.size(); i += step) out += label(x(i), kHeight - 16, "middle", plot_.ticks[i]);
    return out + label((kLeft + kWidth - kRight) / 2, kHeight - 3, "middle", "layer");
  }

  // A gap begins the line anew.
  std::string draw(const Curve& curve, size_t style) const {
    std::string path, marks;
    bool pen_down = false;
    for (size_t i = 0; i < curve.values.size(); ++i) {
      if (!std::isfinite(curve.values[i])) {
        pen_down = false;
        continue;
      }
      path += fmt::format("{}{:.1f} {:.1f}", pen_down ? 'L' : 'M', x(i), y(curve.values[i]));
      marks += fmt::format(
          "<circle class=\"f{}\" cx=\"{:.1f}\" cy=\"{:.1f}\" r=\"2.5\"><title>{}, layer {}: {:.3g} "
          "{}</title></circle>\n",
          style, x(i), y(curve.values[i]), escaped(curve.name), escaped(plot_.ticks[i]), curve.values[i],
          escaped(plot_.unit));
      pen_down = true;
    }
    return fmt::format("<path class=\"s{}\" d=\"{}\"/>\n{}", style, path, marks);
  }

  std::string legend() const {
    std::string out = "<p class=\"legend\">";
    for (size_t i = 0; i < plot_.curves.size(); ++i) {
      out += fmt::format(
          "<span><svg viewBox=\"0 0 36 8\" class=\"key\" aria-hidden=\"true\"><path class=\"s{}\" "
          "d=\"M0 4L36 4\"/></svg> {}</span> ",
          i % 5, escaped(plot_.curves[i].name));
    }
    return out + "</p>\n";
  }

  const Plot& plot_;
  Range range_;
};

// Where the panels of histograms lie, three in a row.
struct PanelGrid {
  static constexpr size_t kColumns = 3;
  static constexpr double kStep = kWidth / kColumns, kPanel = kStep - 24, kBars = 84, kRow = 134, kTitle = 18;
  static double x(size_t panel) { return static_cast<double>(panel % kColumns) * kStep + 12; }
  static double y(size_t panel) { return static_cast<double>(panel / kColumns) * kRow; }
};

std::vector<double> shares_of(const std::vector<int64_t>& counts) {
  double sum = 0;
  for (const int64_t count : counts) sum += static_cast<double>(count);
  std::vector<double> shares;
  for (const int64_t count : counts) shares.push_back(sum > 0 ? static_cast<double>(count) / sum : 0);
  return shares;
}

// "0.42 to 0.54 steps", "below -1.5 steps".
std::string bin_text(const Histograms& plot, size_t bin, size_t bins) {
  const double width = 2 * plot.limit / static_cast<double>(bins - 2);
  const double first = -plot.limit + width * (static_cast<double>(bin) - 1);
  if (bin == 0) return fmt::format("below {:.3g} {}", -plot.limit, plot.unit);
  if (bin + 1 == bins) return fmt::format("above {:.3g} {}", plot.limit, plot.unit);
  return fmt::format("{:.2f} to {:.2f} {}", first, first + width, plot.unit);
}

std::string panel_svg(const Histograms& plot, size_t panel, double most) {
  const std::vector<double> shares = shares_of(plot.panels[panel].counts);
  const double left = PanelGrid::x(panel), top = PanelGrid::y(panel) + PanelGrid::kTitle;
  const double bar = PanelGrid::kPanel / static_cast<double>(shares.size()), bottom = top + PanelGrid::kBars;
  std::string out = label(left, top - 5, "start", plot.panels[panel].title);
  for (size_t i = 0; i < shares.size(); ++i) {
    const double height = PanelGrid::kBars * shares[i] / most;
    const bool tail = i == 0 || i + 1 == shares.size();
    out += fmt::format(
        "<rect class=\"f{}\" x=\"{:.1f}\" y=\"{:.1f}\" width=\"{:.1f}\" height=\"{:.1f}\"><title>{}: "
        "{}</title></rect>\n",
        tail ? 1 : 0, left + bar * static_cast<double>(i), bottom - height, bar - 0.6, height,
        escaped(bin_text(plot, i, shares.size())), escaped(shown_percent(shares[i])));
  }
  out += fmt::format("<line class=\"grid\" x1=\"{0:.1f}\" x2=\"{1:.1f}\" y1=\"{2:.1f}\" y2=\"{2:.1f}\"/>\n", left,
                     left + PanelGrid::kPanel, bottom);
  const double inner = PanelGrid::kPanel - 2 * bar;  // without the tails
  for (const double tick : {-plot.limit, -0.5, 0.0, 0.5, plot.limit}) {
    if (std::abs(tick) > plot.limit) continue;
    out += label(left + bar + inner * (tick + plot.limit) / (2 * plot.limit), bottom + 14, "middle",
                 fmt::format("{:.3g}", tick));
  }
  return out;
}

}  // namespace

std::string svg(const Histograms& plot) {
  double most = 0;
  for (const Histogram& panel : plot.panels) {
    for (const double share : shares_of(panel.counts)) most = std::max(most, share);
  }
  if (!(most > 0)) return "";
  const size_t rows = (plot.panels.size() + PanelGrid::kColumns - 1) / PanelGrid::kColumns;
  std::string out = open_svg(plot.title, kWidth, PanelGrid::kRow * static_cast<double>(rows));
  for (size_t panel = 0; panel < plot.panels.size(); ++panel) {
    if (plot.panels[panel].counts.size() > 2) out += panel_svg(plot, panel, most);
  }
  return figure(plot.title, out + "</svg>\n");
}

std::string svg(const Plot& plot) {
  const bool any = std::any_of(plot.curves.begin(), plot.curves.end(), [](const Curve& curve) {
    return std::any_of(curve.values.begin(), curve.values.end(), [](double value) { return std::isfinite(value); });
  });
  return any ? figure(plot.title, CurvePlot(plot).draw()) : "";
}

std::string svg(const HeatMap& map) {
  constexpr double kNames = 190, kRow = 22, kHead = 26;
  Range range;
  for (const std::vector<double>& row : map.values) {
    for (const double value : row) range.add(value);
  }
  if (range.empty()) return "";
  range.widen();
  const double cell =
      std::clamp((kWidth - kNames) / static_cast<double>(std::max<size_t>(1, map.columns.size())), 5.0, 40.0);
  const double width = kNames + cell * static_cast<double>(map.columns.size());
  std::string out = open_svg(map.title, std::max(kWidth, width), kHead + kRow * static_cast<double>(map.rows.size()));
  const auto step = static_cast<size_t>(std::ceil(24 / cell));
  for (size_t c = 0; c < map.columns.size(); c += step)
    out += label(kNames + cell * (static_cast<double>(c) + 0.5), kHead - 8, "middle", map.columns[c]);
  for (size_t r = 0; r < map.rows.size(); ++r) {
    const double y = kHead + kRow * static_cast<double>(r);
    out += label(kNames - 8, y + 15, "end", map.rows[r]);
    for (size_t c = 0; c < map.columns.size(); ++c) {
      const double value = map.values[r][c];
      if (!std::isfinite(value)) continue;
      const int shade = std::min(kShades - 1, static_cast<int>(range.share(value) * kShades));
      out += fmt::format(
          "<rect class=\"h{}\" x=\"{:.1f}\" y=\"{:.0f}\" width=\"{:.1f}\" height=\"{:.0f}\"><title>{}, "
          "layer {}: {:.1f} {}</title></rect>\n",
          shade, kNames + cell * static_cast<double>(c), y, cell - 1, kRow - 1, escaped(map.rows[r]),
          escaped(map.columns[c]), value, escaped(map.unit));
    }
  }
  out += "</svg>\n<p class=\"legend\">";
  out += fmt::format("{:.3g} {} <svg viewBox=\"0 0 108 10\" class=\"scale\" aria-hidden=\"true\">", range.least,
                     escaped(map.unit));
  for (int i = 0; i < kShades; ++i)
    out += fmt::format("<rect class=\"h{}\" x=\"{}\" y=\"0\" width=\"12\" height=\"10\"/>", i, 12 * i);
  out += fmt::format("</svg> {:.3g} {}</p>\n", range.most, escaped(map.unit));
  return figure(map.title, out);
}

}  // namespace hesse
