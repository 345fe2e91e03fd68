#include "quant/gradient.h"

#include <algorithm>
#include <cmath>

#include "base/checked.h"
#include "base/threads.h"
#include "linalg/gemm.h"

namespace hesse {
namespace {

constexpr int64_t kColumns = 512;  // of a product at a time: it stays in the cache until it is added

double power_of_two_near(double value) { return value > 0 ? std::ldexp(1.0, std::ilogb(value)) : 1.0; }

}  // namespace

GradientPanels::GradientPanels(const SymmetricView& h) : h_(h) {
  for (const double d : h.diagonal) units_.push_back(power_of_two_near(std::sqrt(std::max(d, 0.0))));
}

GradientPanel GradientPanels::panel(int64_t first, int64_t width) const {
  constexpr int64_t kBlock = 64;
  const int64_t in = std::ssize(units_);
  GradientPanel panel{first, Matrix<float>(width, in), units_.data()};
  std::vector<double> inverse(units_);
  for (double& unit : inverse) unit = 1 / unit;  // exact
  parallel_for(ceil_div(in, kBlock), [&](int64_t block) {
    const int64_t begin = block * kBlock, end = std::min(in, begin + kBlock);
    const auto put = [&](int64_t k, int64_t c, double value) {
      const double unit = inverse[static_cast<size_t>(first + k)] * inverse[static_cast<size_t>(c)];
      panel.h(k, c) = static_cast<float>(value * unit);
    };
    for (int64_t k = 0; k < width && end <= first; ++k) {  // as the rows of H lie in memory
      for (int64_t c = begin; c < end; ++c) put(k, c, h_.lower(first + k, c));
    }
    for (int64_t c = begin; c < end && end > first; ++c) {
      for (int64_t k = 0; k < width; ++k) put(k, c, h_(first + k, c));
    }
  });
  return panel;
}

TileGradient::TileGradient(MatrixView<const float> weight, const std::vector<double>& units)
    : units_(units), p_(Matrix<float>::zeros(weight.rows, weight.cols)) {
  for (int64_t row = 0; row < weight.rows; ++row) {
    double largest = 0;
    for (int64_t i = 0; i < weight.cols; ++i)
      largest = std::max(largest, std::abs(static_cast<double>(weight(row, i))) * units[static_cast<size_t>(i)]);
    row_units_.push_back(power_of_two_near(largest));
  }
}

void TileGradient::read(int64_t first, MatrixView<double> p) const {
  for (int64_t row = 0; row < p_.rows(); ++row) {
    for (int64_t k = 0; k < p.rows; ++k) {
      const double unit = units_[static_cast<size_t>(first + k)] * row_units_[static_cast<size_t>(row)];
      p(k, row) = static_cast<double>(p_(row, first + k)) * unit;
    }
  }
}

void TileGradient::add(const GradientPanel& panel, MatrixView<const double> change) {
  const int64_t width = change.rows;
  Matrix<float> packed(p_.rows(), width);  // the rows that change, one behind the other
  std::vector<int64_t> rows;
  for (int64_t row = 0; row < p_.rows(); ++row) {
    float* to = packed.row(std::ssize(rows));
    bool any = false;
    for (int64_t k = 0; k < width; ++k) {
      const double unit = panel.units[panel.first + k] / row_units_[static_cast<size_t>(row)];
      to[k] = static_cast<float>(change(k, row) * unit);
      any = any || to[k] != 0;
    }
    if (any) rows.push_back(row);
  }
  const int64_t count = std::ssize(rows);
  if (count == 0) return;
  Matrix<float> product(count, std::min(kColumns, p_.cols()));
  for (int64_t first = 0; first < p_.cols(); first += kColumns) {
    const int64_t columns = std::min(kColumns, p_.cols() - first);
    gemm_nn(packed.view().row_range(0, count), panel.h.view().block(0, first, width, columns),
            product.view().block(0, 0, count, columns));
    for (int64_t r = 0; r < count; ++r) {
      float* to = p_.row(rows[static_cast<size_t>(r)]) + first;
      for (int64_t c = 0; c < columns; ++c) to[c] += product(r, c);
    }
  }
}

}  // namespace hesse
