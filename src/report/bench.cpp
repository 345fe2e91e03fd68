// What `hesse bench` measured, as JSON.
#include <utility>

#include "io/json.h"
#include "report/cost.h"
#include "report/report.h"
#include "report/utf8.h"

namespace hesse {
namespace {

Json text(std::string_view value) { return Json(valid_utf8(value)); }

Json machine_json(const BenchResult& result) {
  return Json::Object{{"processor", text(result.processor)}, {"simd", text(result.simd)},
                      {"onednn", text(result.onednn)},       {"onednn_isa", text(result.onednn_isa)},
                      {"blas", text(result.blas)},           {"threads", result.threads}};
}

Json products_json(const BenchResult& result) {
  Json list = Json::array();
  for (const ProductRate& rate : result.gemm_f32) {
    list.push_back(Json::Object{{"rows", rate.rows}, {"out", rate.out}, {"in", rate.in}, {"gflops", rate.gflops}});
  }
  return list;
}

Json solvers_json(const BenchResult& result) {
  Json list = Json::array();
  for (const SolverRate& rate : result.solver) {
    list.push_back(Json::Object{
        {"preset", text(rate.preset)}, {"width", rate.width}, {"weights_per_second", rate.weights_per_second}});
  }
  return list;
}

Json predictions_json(const BenchResult& result) {
  Json list = Json::array();
  for (const QuantizePrediction& prediction : result.quantize) {
    list.push_back(Json::Object{{"preset", text(prediction.preset)},
                                {"predicted_seconds", prediction.seconds},
                                {"phases", phases_json(prediction.phases)},
                                {"work", work_json(prediction.work)}});
  }
  return list;
}

Json cached_json(const BenchResult& result) {
  if (!(result.disk_read_gbs >= 0)) return Json();
  return result.disk_cached;
}

Json if_measured(double value) { return value >= 0 ? Json(value) : Json(); }

}  // namespace

std::string to_json(const BenchResult& result) {
  const Json root = Json::Object{{"schema", "hesse-bench/1"},
                                 {"version", text(result.version)},
                                 {"build", text(result.build)},
                                 {"machine", machine_json(result)},
                                 {"gemm_f32", products_json(result)},
                                 {"gemm_f32_gflops", result.gemm_f32_gflops},
                                 {"gram_gflops", result.gram_gflops},
                                 {"attention_gflops", result.attention_gflops},
                                 {"factor_gflops", result.factor_gflops},
                                 {"solver", solvers_json(result)},
                                 {"memory_read_gbs", result.memory_read_gbs},
                                 {"memory_copy_gbs", result.memory_copy_gbs},
                                 {"disk_read_gbs", if_measured(result.disk_read_gbs)},
                                 {"disk_cached", cached_json(result)},
                                 {"seconds", result.seconds},
                                 {"quantize", predictions_json(result)},
                                 {"eval_seconds_per_1000_tokens", if_measured(result.eval_seconds_per_1000_tokens)}};
  return root.dump(2);
}

}  // namespace hesse
