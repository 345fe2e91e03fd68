#include "model/norm.h"

#include <fmt/format.h>

#include <algorithm>
#include <iterator>
#include <numeric>

#include "kernels/kernels.h"
#include "model/rows.h"

namespace hesse {
namespace {

const float* data_or_null(const std::vector<float>& values, int64_t first) {
  return values.empty() ? nullptr : values.data() + first;
}

void append(std::vector<float>& all, const std::vector<float>& more) {
  all.insert(all.end(), more.begin(), more.end());
}

// "norms.{}" of head 3 is "norms.3".
std::string of_head(const std::string& module, int64_t head) {
  const size_t hole = module.find("{}");
  return fmt::format("{}{}{}", module.substr(0, hole), head, module.substr(hole + 2));
}

}  // namespace

void Norm::apply(const float* x, float* out, int64_t n) const {
  if (kind == NormKind::kRms) {
    rms_norm(x, weight.data(), eps, out, n);
  } else {
    layer_norm(x, data_or_null(weight, 0), data_or_null(bias, 0), eps, out, n);
  }
}

Norm load_norm(const ModelConfig& config, const WeightSource& source, const std::string& module, int64_t size) {
  if (module.empty()) return {};
  const NormRule& rule = config.family->norm;
  Norm norm{.present = true, .kind = rule.kind, .eps = config.norm_eps, .weight = {}, .bias = {}};
  if (rule.weight) norm.weight = source.vector(module + ".weight", size);
  if (rule.bias) norm.bias = source.vector(module + ".bias", size);
  for (float& factor : norm.weight) factor += rule.offset;
  return norm;
}

std::vector<NormShape> norm_shapes(const ModelConfig& config, const std::string& module, int64_t size) {
  std::vector<NormShape> shapes;
  if (config.family->norm.weight) shapes.push_back({module + ".weight", size});
  if (config.family->norm.bias) shapes.push_back({module + ".bias", size});
  return shapes;
}

void norm_rows(const Norm& norm, MatrixView<const float> h, ComputeView out) {
  if (!norm.present) {
    for_each_row(h.rows, [&](int64_t r) { store_row(h.row(r), out, r); });
    return;
  }
  fill_rows(out, [&](int64_t r, float* row) { norm.apply(h.row(r), row, h.cols); });
}

HeadNorms::HeadNorms(const ModelConfig& config, const WeightSource& source, const std::string& module, int64_t heads) {
  const Family& family = *config.family;
  if (!config.head_norms) return;
  const bool whole = family.head_norm == HeadNormKind::kWholeRows;
  parts_ = whole ? 1 : heads;
  size_ = whole ? heads * config.head_dim : config.head_dim;
  const bool own = family.head_norm == HeadNormKind::kRows || family.head_norm == HeadNormKind::kModules;
  stride_ = own ? size_ : 0;
  norm_ = {.present = true, .kind = family.head_norm_kind, .eps = config.norm_eps, .weight = {}, .bias = {}};
  for (const NormShape& shape : head_norm_shapes(config, module, heads)) {
    std::vector<float>& values = shape.name.ends_with(".bias") ? norm_.bias : norm_.weight;
    if (shape.rows == 0) {
      append(values, source.vector(shape.name, shape.size));
      continue;
    }
    std::vector<int32_t> rows(static_cast<size_t>(shape.rows));
    std::iota(rows.begin(), rows.end(), 0);
    const Matrix<float> matrix = source.rows(shape.name, rows, shape.size);
    values.assign(matrix.data(), matrix.data() + matrix.size());
  }
  for (float& factor : norm_.weight) factor += family.norm.offset;
}

void HeadNorms::apply(float* row) const {
  for (int64_t part = 0; part < parts_; ++part) {
    float* x = row + part * size_;
    const float* weight = norm_.weight.data() + part * stride_;
    if (norm_.kind == NormKind::kRms) {
      rms_norm(x, weight, norm_.eps, x, size_);
    } else {
      layer_norm(x, weight, data_or_null(norm_.bias, part * stride_), norm_.eps, x, size_);
    }
  }
}

std::vector<NormShape> head_norm_shapes(const ModelConfig& config, const std::string& module, int64_t heads) {
  const Family& family = *config.family;
  std::vector<NormShape> shapes;
  if (!config.head_norms) return shapes;
  const auto add = [&](const std::string& name, int64_t size, int64_t rows) {
    shapes.push_back({name + ".weight", size, rows});
    if (family.head_norm_bias) shapes.push_back({name + ".bias", size, rows});
  };
  switch (family.head_norm) {
    case HeadNormKind::kNone:
      break;
    case HeadNormKind::kShared:
      add(module, config.head_dim, 0);
      break;
    case HeadNormKind::kRows:
      add(module, config.head_dim, heads);
      break;
    case HeadNormKind::kModules:
      for (int64_t head = 0; head < heads; ++head) add(of_head(module, head), config.head_dim, 0);
      break;
    case HeadNormKind::kWholeRows:
      add(module, heads * config.head_dim, 0);
      break;
  }
  return shapes;
}

}  // namespace hesse
