// Results of the commands that only look.
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <vector>

namespace hesse {

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

// What a check has to say.
enum class Severity { kGood, kNote, kWarning, kError };

struct Finding {
  Severity severity = Severity::kGood;
  std::string check;  // stable id: "group-size.ragged"
  std::string what, why, todo;
};

// Of a quantization, before its first layer.
struct Prediction {
  double seconds = 0;             // of all of it, from its beginning
  int64_t peak_memory_bytes = 0;  // largest resident set of the process
};

// Predictions of a model against those of its reference on the same tokens.
struct AgainstResult {
  double perplexity = 0;      // of the reference
  double kl = 0;              // mean KL(reference || model) a predicted token, nats
  double top1_agreement = 0;  // share of predictions whose most likely token is the same
};

// Perplexity of a model on non-overlapping windows.
struct EvalResult {
  double perplexity = 0;  // exp(mean_nll)
  double mean_nll = 0;    // nats a predicted token
  int64_t windows = 0;
  int64_t window = 0;       // tokens of text in each
  int64_t predictions = 0;  // window - 1 in each window, or window with a BOS token in front
  double seconds = 0;
  double flops = 0;                      // floating point operations, those of the reference included
  std::string format;                    // "full precision" or the name of the export format
  std::string compute = "f32";           // inputs of the matrix products: "f32" or "bf16"
  std::optional<AgainstResult> against;  // when a reference was given
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

}  // namespace hesse
