// Results of the commands that only look.
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

namespace hesse {

// What a check says, in order of severity. An error stops a run before it begins; a warning does not, but the result
// may be worse for it; a note is worth knowing.
enum class Severity { kGood, kNote, kWarning, kError };
std::string_view severity_name(Severity severity);  // "good", "note", "warning", "error"

// One sentence each, for people; `why` and `remedy` may be empty.
struct Finding {
  Severity severity = Severity::kGood;
  std::string check;   // which check says so; its name never changes: "tokenizer.bos" (docs/CHECK.md)
  std::string what;    // the fact, with both numbers
  std::string why;     // what it would do to a run or to its result
  std::string remedy;  // what to do about it
};

// Floating point operations that a job asks for, each counted once, however it is done: a symmetric matrix and causal
// attention count their useful half. An addition and a multiplication are two.
struct Work {
  double linears = 0;    // y = x W^T, of all streams; of an evaluation the head too
  double attention = 0;  // scores and weighted values
  double hessian = 0;    // sums of x x^T
  double cross = 0;      // sums of drift x^T, with two streams
  double factor = 0;     // R R^T = H + lambda I
  double solve = 0;      // the feedback of the columns
  double total() const { return linears + attention + hessian + cross + factor + solve; }
};

struct PhaseTime {
  std::string name;
  double seconds = 0;
};

// Of a quantization, before its first layer.
struct Prediction {
  double seconds = 0;             // of all of it, from its beginning
  int64_t peak_memory_bytes = 0;  // largest resident set of the process
};

// The most memory that a phase of a run needs, and the first linear where it does; empty: not in a layer.
struct PhaseMemoryFacts {
  std::string phase;
  std::string where;
  int64_t bytes = 0;
};

// One engine and kernel on so many devices, and the result of the planned run.
struct LoaderFacts {
  std::string engine;
  std::string kernel;
  int64_t devices = 1;
  std::string verdict;  // "yes", "no", "unknown"
  std::string why;
  std::string source;  // of the rule: "repository: path"
  std::string date;    // when it was read
};

// How group sizes lie in one kind of linear: "loadable", "divides", "ragged", "too-wide", "unstorable".
struct GroupSizeFacts {
  std::string linear;  // the first of its kind
  int64_t out = 0;
  int64_t in = 0;
  int64_t count = 0;
  struct Size {
    int64_t group_size = 0;
    std::string fit;
  };
  std::vector<Size> sizes;
};

// What a quantization will need.
struct PlanFacts {
  int64_t parameters = 0;
  int64_t layers = 0;
  std::vector<PhaseMemoryFacts> memory;
  int64_t peak_memory_bytes = 0;
  int64_t available_memory_bytes = 0;
  int64_t result_bytes = 0;
  int64_t work_bytes = 0;       // on disk until the result is whole
  int64_t free_disk_bytes = 0;  // where the result will lie
  double seconds = -1;          // behind the checks, on this machine; -1: not predicted
  std::vector<PhaseTime> phases;
  std::vector<double> layer_seconds;
  std::vector<GroupSizeFacts> group_sizes;
  std::vector<LoaderFacts> loaders;
};

struct GenerateResult {
  std::string text;  // prompt not included
  std::vector<int32_t> prompt_ids;
  std::vector<int32_t> ids;  // generated
  std::string stop;          // "end of text" or "length"
  double seconds = 0;
};

// One linear that a quantizer may touch.
struct LinearInfo {
  std::string name;  // in the file, without ".weight"
  int64_t layer = 0;
  int64_t out = 0;
  int64_t in = 0;
  std::string sharing;  // linears of a layer with the same word read the same input
};

struct TensorInfo {
  std::string name;
  std::string dtype;
  std::vector<int64_t> shape;
  int64_t bytes = 0;
};

struct ModelInfo {
  std::string family;
  std::string format;  // "full precision" or the name of the export format
  int64_t layers = 0;
  int64_t hidden = 0;
  int64_t intermediate = 0;
  int64_t heads = 0;
  int64_t kv_heads = 0;
  int64_t head_dim = 0;
  int64_t vocab = 0;
  int64_t max_positions = 0;
  std::string rope;  // "default, theta 10000"
  bool tied_head = false;
  int64_t parameters = 0;            // tied tensors once
  int64_t bytes = 0;                 // of all tensors
  std::vector<int64_t> group_sizes;  // of the common ones, those that divide every linear's inputs; then -1
  std::vector<LinearInfo> linears;
  std::vector<TensorInfo> tensors;
};

// A row of the table of families.
struct FamilyInfo {
  std::string name;
  std::vector<std::string> model_types;  // of config.json
  std::vector<std::vector<std::string>>
      sharing;  // linears of a layer that are quantized; those together read one input
  std::string notes;
  std::string tested_with;  // what made the logits that tests compare with
};

// One product y[rows, out] = x[rows, in] W^T in float32.
struct ProductRate {
  int64_t rows = 0;
  int64_t out = 0;
  int64_t in = 0;
  double gflops = 0;
};

// The solver with the options of one preset.
struct SolverRate {
  std::string preset;
  double weights_per_second = 0;  // of a linear of `width` inputs
  int64_t width = 0;
};

struct QuantizePrediction {
  std::string preset;
  double seconds = 0;
  Work work;
  std::vector<PhaseTime> phases;
};

// What this machine does in a second, and what that means for a model.
struct BenchResult {
  std::string version;
  std::string build;  // "release", or "debug": not optimized or with a sanitizer, and its rates say nothing
  std::string processor;
  std::string simd;        // instruction set of our kernels
  std::string onednn;      // version
  std::string onednn_isa;  // the instruction set that oneDNN uses
  std::string blas;        // version, and the processor core that OpenBLAS took this one for
  int threads = 0;
  std::vector<ProductRate> gemm_f32;
  double gemm_f32_gflops = 0;   // the best of them
  double gram_gflops = 0;       // sums of x x^T, one half counted
  double attention_gflops = 0;  // causal, one half counted
  double factor_gflops = 0;     // float64
  std::vector<SolverRate> solver;
  double memory_read_gbs = 0;  // GB/s, 1e9 bytes
  double memory_copy_gbs = 0;  // bytes read and bytes written
  double disk_read_gbs = -1;   // of a weight file of the model; -1: there was none
  bool disk_cached = false;    // the file lay in memory already
  double seconds = 0;          // of measuring
  // With a model:
  std::vector<QuantizePrediction> quantize;
  double eval_seconds_per_1000_tokens = -1;  // -1: no model
};

// A packed model in another format.
struct ConvertResult {
  std::string from;  // formats
  std::string to;
  int64_t linears = 0;  // that are packed in `from`
  bool exact = true;    // codes, scales and zero points are the same; false: rounded to plain numbers
  int64_t bytes = 0;    // of all tensors
  double seconds = 0;
};

// Whether a packed model is what its configuration says.
struct VerifyResult {
  std::string format;
  int64_t linears = 0;            // that are packed
  std::vector<Finding> findings;  // the worst first
  double seconds = 0;

  bool sound() const;  // no finding is an error
};

// What the record of a run says about its result, one sentence each.
struct Symptom {
  Severity severity = Severity::kGood;
  std::string rule;      // its name never changes: "outlier-channel" (docs/REPORT.md)
  std::string place;     // a linear, a layer, the calibration text; empty: the whole run
  std::string evidence;  // with both numbers
  std::string advice;    // what to do about it, the cheapest first; may be empty
};

struct DiagnosisResult {
  std::string version;            // of Hesse
  std::string model_name;         // that was quantized
  std::vector<Symptom> symptoms;  // the worst first

  Severity worst() const;  // kGood when there are none
};

// A page that was written.
struct ReportResult {
  std::string path;
  int64_t bytes = 0;
  int64_t runs = 0;
};

struct InputFile {
  std::string name;  // without folders
  int64_t bytes = 0;
  std::string sha256;
};

// One special token as each file has it; -1: none. `used` is what Hesse takes.
struct SpecialTokenFacts {
  std::string name;                 // "bos", "eos", "pad"
  std::vector<int64_t> config;      // ids in config.json
  std::vector<int64_t> generation;  // ids in generation_config.json
  std::string content;              // in tokenizer_config.json; empty: none
  int64_t tokenizer = -1;           // the id of that content
  std::vector<int64_t> used;        // empty: none
};

// `count` sequences of from ... to tokens.
struct LengthBucket {
  int64_t from = 0;
  int64_t to = 0;
  int64_t count = 0;
};

// One source of calibration text, and what was taken of it.
struct TextFacts {
  std::string name;           // without folders; "builtin:code", "random"
  int64_t bytes = 0;          // that were read, decompressed
  int64_t tokens = 0;         // of the documents that are used
  std::string kind = "text";  // "text", "jsonl", "directory", "built-in" or "random"
  double weight = 1;
  int64_t documents = 0;              // that were read, duplicates included
  int64_t duplicates = 0;             // equal to one before them, in this source or another
  int64_t skipped = 0;                // lines of JSONL that could not be used
  int64_t windows = 0;                // that a run takes
  std::vector<LengthBucket> lengths;  // tokens a document, duplicates left out
  std::string sha256;                 // of what was read, decompressed
  std::string first_text;             // the beginning of its first window, special tokens visible
};

struct ScriptShare {
  std::string name;  // "Latin", "Han", "digits"
  double share = 0;  // of the characters that are neither spaces nor punctuation
};

// The calibration text as a run would use it.
struct CalibrationFacts {
  std::vector<TextFacts> files;
  int64_t sequences = 0;
  int64_t tokens = 0;                 // in them
  int64_t widest = 0;                 // inputs of the widest linear; 0: not known
  std::vector<LengthBucket> lengths;  // tokens a sequence, padding and BOS not counted
  int64_t duplicate_sequences = 0;    // equal to one before them
  double repeated = 0;                // share of the tokens in runs of 32 that stand in the text before
  double padding = 0;                 // share of the tokens
  double unknown = 0;                 // share of the tokens that stand for text the tokenizer does not know
  int64_t distinct_tokens = 0;        // different ids
  double vocabulary_share = 0;        // distinct_tokens of the tokenizer's tokens
  std::vector<ScriptShare> scripts;   // most frequent first
  // How often tokens occur, by a hash of their ids; and how far that of the first half of the windows is from that of
  // the second: the Jensen-Shannon divergence in nats, 0 to ln 2, or -1: there are no two windows.
  std::vector<int64_t> token_buckets = {};
  double token_halves = -1;
  double overlap = -1;             // share of the evaluation text in runs of 32 that stand here; -1: none given
  std::vector<int32_t> first_ids;  // of the first sequence, 60 at most
  std::string first_text;          // the same decoded, special tokens visible
};

// What a run would calibrate on.
struct DataResult {
  std::string version;
  std::string model_name;         // last part of the model's path
  bool begins_with_bos = false;   // every window does
  std::vector<Finding> findings;  // the worst first
  CalibrationFacts calibration;
  double seconds = 0;
};

// The model on a few tokens: does the tokenizer belong to it?
struct TrialFacts {
  std::string text;         // "calibration" or "built-in"
  int64_t predictions = 0;  // tokens predicted
  double nll = 0;           // mean negative log-likelihood, nats a token
  double nll_bos = -1;      // the same with BOS in front; -1: not measured
  double uniform = 0;       // ln(vocabulary): what knowing nothing gives
  double seconds = 0;
};

// One token and the stretch of the text that it stands for. Parts of one character have the whole of it; what is not of
// the text, as a BOS, has 0 to 0.
struct TokenPiece {
  int32_t id = 0;
  std::string piece;  // its content in the tokenizer's file
  int64_t begin = 0;  // bytes of the text
  int64_t end = 0;
  int64_t begin_char = 0;  // the same in characters (code points)
  int64_t end_char = 0;
};

struct TokenizedText {
  std::string name;                // of the file, without folders; empty: text that was given, or ids
  std::string text;                // of ids: what they mean
  std::vector<TokenPiece> tokens;  // with ids to decode: no places
};

struct TokenizeResult {
  int64_t vocabulary = 0;  // largest id + 1
  std::vector<TokenizedText> texts;
};

// Everything that can be known before work.
struct CheckResult {
  std::string version;
  std::string model_name;         // last part of the model's path
  std::string family;             // empty: not known
  std::vector<Finding> findings;  // the worst first
  std::vector<SpecialTokenFacts> special_tokens;
  std::optional<CalibrationFacts> calibration;
  std::optional<TrialFacts> trial;
  std::optional<PlanFacts> plan;  // where the sizes of the model are known
  std::vector<InputFile> files;   // with sha256 asked for
  double seconds = 0;

  Severity worst() const;  // kGood when there are no findings
  int64_t count(Severity severity) const;
};

// What is decided for one linear before a run.
struct LinearSetting {
  std::string name;
  bool skip = false;  // stays as it is; the rest says nothing then
  int bits = 4;
  int64_t group_size = 128;
  bool symmetric = true;
  double damping = 0;  // 0: by held-out text
};

}  // namespace hesse
