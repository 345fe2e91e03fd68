// Results of the commands that only look.
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <vector>

namespace hesse {

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
  std::string format;                    // "full precision" or the name of the export format
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

}  // namespace hesse
