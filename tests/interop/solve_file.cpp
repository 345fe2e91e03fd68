// Solves the linears of a file by themselves, so that Python can compare our solver with others on the same Hessians:
//
//     solve_file IN.safetensors OUT.safetensors --bits B --group-size G [--asym] [--classic]
//
// IN holds NAME.weight, F32 [out, in], and NAME.hessian, F64 [in, in]; OUT receives NAME.weight, the F32 weights that
// the codes stand for. --classic: GPTQ as AutoGPTQ has it, as the preset of that name sets it.
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <map>
#include <string>
#include <vector>

#include "hesse/error.h"
#include "io/safetensors.h"
#include "quant/solver.h"

namespace {

using namespace hesse;

struct Request {
  LinearSpec spec;
  GptqOptions gptq;
};

GptqOptions classic() {
  return {.order = ColumnOrder::kFile,
          .grid = {.search = ScaleSearch::kMinMax, .negative_scales = false},
          .joint_candidates = 1,
          .sweeps = 0};
}

Request parse(int argc, char** argv) {
  Request request;
  for (int i = 3; i < argc; ++i) {
    const std::string flag = argv[i];
    const auto number = [&] { return std::strtoll(i + 1 < argc ? argv[++i] : "", nullptr, 10); };
    if (flag == "--bits") {
      request.spec.bits = static_cast<int>(number());
    } else if (flag == "--group-size") {
      request.spec.group_size = number();
    } else if (flag == "--asym") {
      request.spec.symmetric = false;
    } else if (flag == "--classic") {
      request.gptq = classic();
    } else if (flag != "--sym") {
      throw Error(ErrorKind::kUsage, "unknown flag " + flag);
    }
  }
  return request;
}

void solve_all(const std::string& in, const std::string& out, const Request& request) {
  const SafetensorsFile file(in);
  std::map<std::string, const TensorView*> tensors;
  for (const TensorView& tensor : file.tensors()) tensors[tensor.spec.name] = &tensor;
  std::vector<TensorSpec> specs;
  std::map<std::string, Matrix<float>> results;
  for (const auto& [name, tensor] : tensors) {
    if (!name.ends_with(".weight")) continue;
    const std::string module = name.substr(0, name.size() - 7);
    const TensorView& second = *tensors.at(module + ".hessian");
    Matrix<float> weight(tensor->spec.shape.at(0), tensor->spec.shape.at(1));
    std::memcpy(weight.data(), tensor->bytes.data(), tensor->bytes.size());
    Hessian hessian(weight.cols());
    if (second.spec.dtype != DType::kF64 || second.spec.elements() != hessian.sum.size()) {
      throw Error(ErrorKind::kBadInput, module + ".hessian is not F64 [in, in]");
    }
    std::memcpy(hessian.sum.data(), second.bytes.data(), second.bytes.size());
    hessian.tokens = 1;
    const PreparedHessian prepared = prepare_hessian(
        std::move(hessian), {request.gptq.damping, request.gptq.order, request.spec.group_width(weight.cols())});
    const SolveOutcome outcome = solve_linear(solver("gptq"), weight.view(), &prepared, request.spec, request.gptq);
    specs.push_back(tensor->spec);
    results[name] = dequantize(outcome.linear);
  }
  SafetensorsWriter writer(out, layout_safetensors(specs));
  for (const auto& [name, weight] : results) {
    writer.write(
        name, {reinterpret_cast<const std::byte*>(weight.data()), static_cast<size_t>(weight.size()) * sizeof(float)});
  }
  writer.finish();
}

}  // namespace

int main(int argc, char** argv) {
  try {
    if (argc < 3) throw Error(ErrorKind::kUsage, "usage: solve_file IN OUT --bits B --group-size G");
    solve_all(argv[1], argv[2], parse(argc, argv));
    return 0;
  } catch (const Error& error) {
    std::fprintf(stderr, "solve_file: %s\n", error.what());
    return exit_code(error.kind());
  }
}
