#include "run/convert.h"

#include <fmt/format.h>

#include <filesystem>

#include "api/families.h"
#include "api/model_card.h"
#include "api/open_model.h"
#include "api/prepare.h"
#include "api/problems.h"
#include "base/process.h"
#include "base/threads.h"
#include "hesse/api.h"
#include "hesse/error.h"
#include "io/file.h"
#include "io/staged_directory.h"
#include "model/tensors.h"
#include "run/model_files.h"

namespace hesse {
namespace {

namespace fs = std::filesystem;

constexpr double kBytesPerGb = 1e9;
constexpr const char* kMarker = "hesse-convert.json";

// What is known of a family makes the configuration more exact; a conversion does without.
void add_family(const Json& config_json, ConversionRequest& request) {
  if (is_unknown_type(config_json) || !config_problems(config_json, "config.json").empty()) return;
  const ModelConfig config = parse_model_config(config_json, "config.json");
  const CheckpointSource source(request.checkpoint);
  const ModelConfig named = choose_scheme(config, source);
  if (!request.to.keeps_codes() && named.family->experts.packed.always) {
    throw Error(
        ErrorKind::kUsage,
        fmt::format("[convert] {}: loaders of '{}' want the experts of a layer as one tensor, which is not made "
                    "of packed ones; `hesse quantize --format {}` of the original model writes it",
                    request.checkpoint.directory().filename().string(), named.family->name, request.to.name()));
  }
  request.head = named.own_head();
  request.in_out = layout_of_linears(named) == WeightLayout::kInOut;
  for (const StageShape& stage : model_stages(named)) {
    for (const LinearShape& linear : stage.linears) request.linears.push_back(linear.name);
  }
}

// The record of the run that made the source is one of the result too, which is now in another format.
void copy_record(const fs::path& from, const fs::path& to, std::string_view format) {
  if (!fs::is_regular_file(from / kRecordFile)) return;
  Json record = Json::parse(read_text_file(from / kRecordFile), kRecordFile);
  record.set("format", std::string(format));
  write_text_file(to / kRecordFile, record.dump(2) + "\n");
}

const ExportFormat& format_to_read(const fs::path& directory, const Json& config_json) {
  const ExportFormat* format = format_of(config_json.find_value("quantization_config"));
  if (format != nullptr) return *format;
  throw Error(ErrorKind::kUsage, fmt::format("[convert] {}: the model is of full precision, there are no codes to "
                                             "convert; `hesse quantize` makes some",
                                             directory.string()));
}

}  // namespace

ConvertResult convert(const ConvertOptions& options, Listener& listener) {
  require_no_problems(options);
  set_threads(options.threads);
  const Stopwatch watch;
  const fs::path model = options.model;
  const Json config_json = read_config_json(model);
  const ExportFormat& to = export_format(options.format);
  const ExportFormat& from = format_to_read(model, config_json);
  require_output_free(options.output, options.overwrite, kMarker);
  const Checkpoint checkpoint(model);
  ConversionRequest request{.checkpoint = checkpoint,
                            .config_json = config_json,
                            .from = from,
                            .to = to,
                            .version = version(),
                            .head = "lm_head"};
  add_family(config_json, request);
  const Ticker reading(listener, "reading"), writing(listener, "writing");
  const Conversion conversion(std::move(request), [&](double share) { reading.tick(share); });

  StagedDirectory staged(options.output, options.overwrite, kMarker);
  conversion.write(staged.path(), static_cast<int64_t>(options.shard_size * kBytesPerGb),
                   [&](double share) { writing.tick(share); });
  copy_files_beside_weights(model, staged.path());
  copy_record(model, staged.path(), to.name());
  ConvertResult result{.from = std::string(from.name()),
                       .to = std::string(to.name()),
                       .linears = conversion.linears(),
                       .exact = to.keeps_codes(),
                       .bytes = Checkpoint(staged.path()).total_bytes(),
                       .seconds = watch.seconds()};
  write_model_card({.model = model,
                    .directory = staged.path(),
                    .config_json = config_json,
                    .format = result.to,
                    .hub = options.hub_layout},
                   nullptr);
  write_text_file(staged.path() / kMarker, to_json(result) + "\n");
  staged.publish();
  sync_path(output_path(options.output).parent_path());
  result.seconds = watch.seconds();
  return result;
}

}  // namespace hesse
