// The tokenizer against the model, and the calibration text.
#include <fmt/format.h>

#include <algorithm>
#include <string>
#include <utility>
#include <vector>

#include "api/prepare.h"
#include "data/calibration.h"
#include "data/special_tokens.h"
#include "data/statistics.h"
#include "data/windows.h"
#include "hesse/error.h"
#include "tokenizer/tokenizer_files.h"

namespace hesse {
namespace {

namespace fs = std::filesystem;

void check_tokens(Prepared& prepared) {
  const Job& job = prepared.job;
  Findings& findings = prepared.findings;
  const int64_t vocab = job.model != nullptr ? job.model->config().vocab : 0;
  if (vocab > 0) check_vocabulary(*prepared.tokenizer, vocab, findings);
  const Advice advice = {"tokenizer.ids", "", "correct the field, or take the file from the original model"};
  findings.attempt(advice, [&] {
    prepared.special_tokens =
        read_special_tokens(job.model_directory, text_config(job.config_json), *prepared.tokenizer);
    check_special_tokens(prepared.special_tokens, {.vocab = vocab, .bos = prepared.bos}, findings);
  });
}

// Where the tokenizer names no padding, config.json may.
int64_t padding_id(const Prepared& prepared) {
  for (const SpecialTokenFacts& token : prepared.special_tokens) {
    if (token.name != "pad") continue;
    if (token.tokenizer >= 0) return token.tokenizer;
    if (!token.config.empty()) return token.config.front();
  }
  return -1;
}

void check_calibration(Prepared& prepared) {
  Job& job = prepared.job;
  const QuantizeOptions& options = job.options;
  const bool read = prepared.findings.attempt(
      {"calibration.text", "there is nothing to measure the model on", "give more text, or another file"}, [&] {
        job.windows = calibration_windows(options.calibration, job.model_directory, *prepared.tokenizer,
                                          {.length = options.length,
                                           .count = options.samples,
                                           .bos = prepared.bos,
                                           .seed = options.seed,
                                           .pack = options.pack,
                                           .random_share = options.random_share,
                                           .strict = options.strict});
      });
  if (!read) return;
  CalibrationFacts facts = describe_calibration(*job.windows, *prepared.tokenizer, padding_id(prepared));
  for (const StageShape& stage : job.stages) facts.widest = std::max(facts.widest, stage.in());
  judge_reading(*job.windows, prepared.findings);
  judge_calibration(facts, job.windows->notes, options.length, prepared.findings);
  prepared.calibration = std::move(facts);
  if (job.model == nullptr) return;
  const ModelConfig& config = job.model->config();
  prepared.findings.attempt({"tokenizer.vocabulary", "the model has no row for that token",
                             "take tokenizer.json and the weights from the same place"},
                            [&] { require_ids_in_vocabulary(*job.windows, config.vocab); });
  if (options.length > config.max_positions && !config.family->position_table.empty()) {
    prepared.findings.error(
        Error(ErrorKind::kUsage, fmt::format("[options] length is {}; the model has a table of {} positions",
                                             options.length, config.max_positions)),
        {"calibration.length", "there is nothing to add to the tokens beyond", "give a smaller --length"});
  } else if (options.length > config.max_positions) {
    prepared.findings.warning("calibration.length",
                              fmt::format("windows of {} tokens, but the model was made for {} positions",
                                          options.length, config.max_positions),
                              "", "give a smaller --length");
  }
}

}  // namespace

void prepare_text(Prepared& prepared) {
  const Job& job = prepared.job;
  Findings& findings = prepared.findings;
  const bool needed = !job.options.calibration.empty();
  if (!needed && !has_tokenizer_files(job.model_directory)) {
    findings.note("tokenizer.file", "there is no tokenizer.json, tokenizer.model, or vocab.json with merges.txt", "",
                  "");
    return;
  }
  const Advice advice = {"tokenizer.file", "text cannot become tokens", "fetch tokenizer.json of the model"};
  if (!findings.attempt(advice, [&] { prepared.tokenizer = Tokenizer::from_directory(job.model_directory); })) return;
  const Advice bos = {"tokenizer.bos", "windows cannot begin with it", "give --bos never"};
  const bool known = findings.attempt(
      bos, [&] { prepared.bos = begins_with_bos(job.options.bos, job.model_directory, *prepared.tokenizer); });
  check_tokens(prepared);
  if (!needed || !known) return;
  check_calibration(prepared);
}

}  // namespace hesse
