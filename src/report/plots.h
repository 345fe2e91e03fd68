// Pictures as SVG inside the page: colours are classes of the page's style, so that dark and print follow.
#pragma once

#include <cstdint>
#include <string>
#include <vector>

namespace hesse {

struct Curve {
  std::string name;
  std::vector<double> values;  // by layer; NaN: a gap
};

struct Plot {
  std::string title;               // told to screen readers, shown as the caption
  std::string unit;                // of the vertical axis
  std::vector<Curve> curves;       // five at most
  std::vector<std::string> ticks;  // names of the layers
};

// Curves over the depth, each with a dash pattern and a mark of its own beside its colour. Empty without numbers.
std::string svg(const Plot& plot);

struct HeatMap {
  std::string title;
  std::string unit;
  std::vector<std::string> columns;
  std::vector<std::string> rows;
  std::vector<std::vector<double>> values;  // [rows][columns]; NaN: no cell
};

// Counts of values in bins of equal width, those outside of them in the first and the last.
struct Histogram {
  std::string title;
  std::vector<int64_t> counts;
};
struct Histograms {
  std::string title;
  std::string unit;
  double limit = 1;  // the bins lie between minus this and this
  std::vector<Histogram> panels;
};

// Panels side by side, all with the same scale: bars show shares. Empty without counts.
std::string svg(const Histograms& plot);

// Light is little, dark is much; every cell tells its number when pointed at.
std::string svg(const HeatMap& map);

}  // namespace hesse
