// What single linears would lose at every candidate of bits and group size.
#pragma once

#include <map>
#include <string>
#include <vector>

#include "base/matrix.h"
#include "model/block.h"
#include "plan/split_columns.h"
#include "quant/options.h"
#include "quant/prepared.h"
#include "quant/spec.h"
#include "run/job.h"

namespace hesse {

constexpr LinearSpec kProbe = {.bits = 3, .group_size = 128};  // at which parts are compared with each other

// tr(E H E^T) of one linear at every spec, and its weight at the probe's.
struct LinearLosses {
  std::vector<double> losses;
  double probe_loss = 0;
  Matrix<float> probe;  // [out, in]
};
using LossesByName = std::map<std::string, LinearLosses>;

class LinearMeter {
 public:
  LinearMeter(const Job& job, std::vector<LinearSpec> specs);
  const std::vector<LinearSpec>& specs() const { return specs_; }

  // All linears of `stage` on its input x [tokens, in], with one factor. Of the rows of a weight some stand for all,
  // but for the probe.
  void measure(const Block::Stage& stage, ConstComputeView x, LossesByName& losses) const;

 private:
  Matrix<float> error_of(const Matrix<float>& weight, const PreparedHessian& prepared, const LinearSpec& spec) const;
  void measure_linear(const Matrix<float>& weight, const PreparedHessian& prepared, const ColumnRange& range,
                      LinearLosses& found) const;

  const Job& job_;
  std::vector<LinearSpec> specs_;
  GptqOptions quick_;
};

}  // namespace hesse
