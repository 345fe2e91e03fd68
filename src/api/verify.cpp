#include "run/verify.h"

#include <fmt/format.h>

#include "api/families.h"
#include "api/open_model.h"
#include "api/prepare.h"
#include "api/problems.h"
#include "base/process.h"
#include "base/threads.h"
#include "hesse/api.h"
#include "model/tensors.h"

namespace hesse {
namespace {

namespace fs = std::filesystem;

constexpr size_t kMostFindings = 20;

// Every tensor that config.json asks for, packed or plain, and of its shape.
void check_shapes(const fs::path& directory, const Json& config_json, Findings& findings) {
  if (is_unknown_type(config_json)) {
    findings.note("config.family", "the family is not known, so shapes were not compared with config.json");
    return;
  }
  findings.attempt({"config.shapes", "", "take config.json of the original model"}, [&] {
    const OpenModel opened = open_model(directory);
    const std::vector<TensorProblem> problems = tensor_problems(opened.config, *opened.source);
    for (size_t i = 0; i < std::min(problems.size(), kMostFindings); ++i) {
      findings.error(Error(ErrorKind::kBadInput, problems[i].text),
                     {"config.shapes", "engines build the model from config.json", "fetch or make the files again"});
    }
    if (problems.empty()) findings.good("config.shapes", "every tensor is there, of the shape of config.json");
  });
}

// With a config.json that can be read, the experts that lie in one tensor are known too.
CheckpointSource plain_source(const Checkpoint& checkpoint, const Json& config_json) {
  try {
    if (!is_unknown_type(config_json))
      return CheckpointSource(checkpoint, parse_model_config(config_json, "config.json"));
  } catch (const Error&) {  // check_shapes() says what is wrong
  }
  return CheckpointSource(checkpoint);
}

// A NaN in a norm or an embedding is no fault of the packed form, but the model is useless all the same.
void check_plain_values(const Checkpoint& checkpoint, const Json& config_json, Findings& findings) {
  const CheckpointSource source = plain_source(checkpoint, config_json);
  for (const PlainTensor& tensor : source.plain_tensors(ExpertsForm::kApart)) {
    if (const auto bad = source.find_nonfinite(tensor)) {
      findings.attempt({"weights.finite", "every activation behind it is useless", "fetch the file again"},
                       [&] { source.refuse_nonfinite(tensor, *bad); });
    }
    checkpoint.release(*tensor.in_file);
  }
}

}  // namespace

VerifyResult verify(const VerifyOptions& options, Listener& listener) {
  require_no_problems(options);
  set_threads(options.threads);
  const Stopwatch watch;
  const fs::path directory = options.model;
  const Json config_json = read_config_json(directory);
  const Json* quantization = config_json.find_value("quantization_config");
  const bool small_floats = is_read_as_plain(quantization);
  const ExportFormat* format = small_floats ? nullptr : format_of(quantization);
  const Checkpoint checkpoint(directory);
  Findings findings;
  VerifyResult result;
  if (small_floats) {
    result.format = quantization->find("quant_method")->as_string("quant_method");
    findings.note("packed.none",
                  fmt::format("weights are '{}', as the model's authors publish it; there are no codes of "
                              "integers to decode",
                              result.format),
                  "Hesse reads them as plain numbers, and quantizes such a model");
  } else if (format == nullptr) {
    result.format = "full precision";
    findings.note("packed.none", "the model is of full precision; nothing is packed");
  } else {
    result.format = format->name();
    Verification verification(checkpoint, config_json, *format, findings);
    verification.check_names();
    const Ticker ticker(listener, "decoding");
    for (size_t i = 0; i < verification.modules().size(); ++i) {
      ticker.tick(static_cast<double>(i) / static_cast<double>(verification.modules().size()));
      verification.check_linear(verification.modules()[i]);
    }
    verification.summarize();
    result.linears = std::ssize(verification.modules());
  }
  check_shapes(directory, config_json, findings);
  findings.attempt({"weights.values", "they cannot be read", "fetch or make the files again"},
                   [&] { check_plain_values(checkpoint, config_json, findings); });
  result.findings = findings.worst_first();
  result.seconds = watch.seconds();
  return result;
}

}  // namespace hesse
