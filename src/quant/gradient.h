// The gradient p = (H + lambda I) e of a tile of rows under descent, carried along in float32. Each input i has a unit,
// a power of two near (H_ii + lambda)^1/2, and each row one near its largest weight in these units; so nothing leaves
// float32, whatever the scale of the inputs and weights. Rounding moves p_i by eps times the sum over k of
// (H_ii H_kk)^1/2 |e_k| at most, and the loss that a wrong step may cost by eps^2 in^2 sum H_kk e_k^2.
#pragma once

#include <cstdint>
#include <vector>

#include "base/matrix.h"
#include "quant/hessian.h"

namespace hesse {

// The rows of one group in H + lambda I, with inputs in their units.
struct GradientPanel {
  int64_t first;        // input
  Matrix<float> h;      // [width, in]
  const double* units;  // [in]
};

class GradientPanels {
 public:
  explicit GradientPanels(const SymmetricView& h);  // H + lambda I; must outlive this
  GradientPanel panel(int64_t first, int64_t width) const;
  const std::vector<double>& units() const { return units_; }

 private:
  const SymmetricView& h_;
  std::vector<double> units_;  // [in]
};

class TileGradient {
 public:
  // weight [rows, in] sets the units of the rows; `units` [in] must outlive this. p is zero.
  TileGradient(MatrixView<const float> weight, const std::vector<double>& units);

  // p of the inputs [first, first + p.rows()) of all rows; p [width, lanes], lanes beyond the rows are left alone.
  void read(int64_t first, MatrixView<double> p) const;
  // Adds what `change` [panel width, lanes] of e does to p.
  void add(const GradientPanel& panel, MatrixView<const double> change);

 private:
  const std::vector<double>& units_;
  std::vector<double> row_units_;  // [rows]
  Matrix<float> p_;                // [rows, in] in units of row and input
};

}  // namespace hesse
