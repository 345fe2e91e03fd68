// The library's front door. Calls block, print nothing, and throw `Error`. They may be made from one thread at a time:
// the pool of threads belongs to the process.
#pragma once

#include <string>
#include <vector>

#include "hesse/error.h"
#include "hesse/evaluation.h"
#include "hesse/events.h"
#include "hesse/options.h"
#include "hesse/types.h"

namespace hesse {

std::string version();  // "0.1.0"

// Quantizes options.model into options.output and returns the record, which is also written there as hesse-run.json.
// GPTQ (Frantar, Ashkboos, Hoefler, Alistarh 2022, arXiv:2210.17323) in the feedback form of docs/ALGORITHM.md.
// The output appears whole, by a rename, or not at all. Every packed tensor is read back and compared before that.
// What is done is committed to OUT.hesse-work as it is done; an equal call goes on from there after whatever ended the
// one before, to the same bytes. One call at a time may be at work on an output; a second is refused, Error(kUsage).
// With options.redo it is a result already, which is replaced by one in which some linears are solved again. With
// options.trial nothing is written; the record is that of a small part of the run, with a forecast of the whole.
// Equal inputs, options and thread count give byte-identical tensors. All checks come before the first matrix product.
RunRecord quantize(const QuantizeOptions& options, Listener& listener);

// What is decided for every linear of the model by the options, their recipe, and with bits_target or protect by a
// measurement, which is made when there is none.
std::vector<LinearSetting> resolve_recipe(const QuantizeOptions& options, Listener& listener);

// Everything that can be known before work, by the same checks that quantize() makes first: where these find an error,
// quantize() throws it. Only what makes checking impossible is thrown here: misuse, no permission, interruption.
CheckResult check(const CheckOptions& options, Listener& listener);

// Perplexity in float32: exp of the mean negative log-likelihood of every token given those before it in its window.
// With options.against also the Kullback-Leibler divergence from that model and the top-1 agreement with it.
EvalResult evaluate(const EvalOptions& options, Listener& listener);

// Multiple choice: the files of options.task by every model, in place of options.text.
TasksResult evaluate_tasks(const EvalOptions& options, Listener& listener);

// What several models write behind the same prompts, and where they part from the first.
CompareResult compare(const CompareOptions& options, Listener& listener);

// Text after options.prompt; pieces arrive at listener.on_text as they are made.
GenerateResult generate(const GenerateOptions& options, Listener& listener);

// What quantize() with the same options would calibrate on: documents, tokens, what is wrong with them.
DataResult describe_data(const DataOptions& options);

// Architecture, linears and tensors. Reads headers only.
ModelInfo inspect(const InspectOptions& options);

// A packed model, of Hesse or of another tool, in another format of the table: the same codes, scales and zero points.
// Error(kUsage) names what the format cannot express, before anything is written. The output appears whole or not at
// all.
ConvertResult convert(const ConvertOptions& options, Listener& listener);

// Decodes every packed tensor of a model, one at a time, and compares what is there with what its configuration says.
VerifyResult verify(const VerifyOptions& options, Listener& listener);

// Text to ids with their places, or ids to text. Reads the files of the tokenizer only.
TokenizeResult tokenize(const TokenizeOptions& options);

// What hesse-run.json says: `result` is that file or the directory it lies in. Error(kBadInput) for a record that is
// damaged, of another schema, or of an earlier version and without members that were added since.
RunRecord read_record(const std::string& result);

// What a record, and an evaluation where there is one, say about a result: the worst first. What was not measured is
// not judged.
std::vector<Symptom> diagnose(const RunRecord& record, const EvalResult* evaluation = nullptr);
DiagnosisResult diagnose(const DiagnoseOptions& options);

// Writes one HTML page that needs no other file, no network and no script, in the place of an earlier one.
ReportResult report(const ReportOptions& options);

// What can be run: the rows of the table of families, then the models whose text is one of them.
std::vector<FamilyInfo> known_families();

// Rates of this machine, in at most 10 seconds or so, and with options.model predicted times.
BenchResult bench(const BenchOptions& options, Listener& listener);

// One JSON object, 2-space indent. That of a record is hesse-run.json, whose schema is in docs/FORMATS.md.
// The answers side by side as one HTML file, with the votes where there are any. compare() does so with options.html
// unless options.blind: then it is for the caller, when the vote is over. `path` must be free.
void write_page(const CompareResult& result, const std::string& path);

std::string to_json(const RunRecord& record);
std::string to_json(const CheckResult& result);
std::string to_json(const EvalResult& result);
std::string to_json(const TasksResult& result);
std::string to_json(const CompareResult& result);
std::string to_json(const GenerateResult& result);
std::string to_json(const ModelInfo& info);
std::string to_json(const ConvertResult& result);
std::string to_json(const VerifyResult& result);
std::string to_json(const DataResult& result);
std::string to_json(const TokenizeResult& result);
std::string to_json(const BenchResult& result);
std::string to_json(const DiagnosisResult& result);
std::string to_json(const ReportResult& result);
std::string to_json(const std::vector<FamilyInfo>& families);
std::string to_json(const std::vector<LinearSetting>& settings);

}  // namespace hesse
