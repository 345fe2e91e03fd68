// What `evaluate`, `evaluate_tasks` and `compare` found: how well models predict, and how far one is from another.
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <vector>

namespace hesse {

// Where the value for all text of this kind lies, with a confidence of 95 %.
struct Interval {
  double low = 0;
  double high = 0;
};

// Predictions of a model against those of its reference on the same tokens.
struct AgainstResult {
  double perplexity = 0;        // of the reference
  double kl = 0;                // mean KL(reference || model) a predicted token, nats
  double top1_agreement = 0;    // share of predictions whose most likely token is the same
  std::string name = {};        // last part of the path of the reference
  double perplexity_ratio = 0;  // of the model to the reference
  double kl_median = 0;
  double kl_p99 = 0;  // 99 % of the predictions are below
  // By block bootstrap over the windows, in pairs; none when there are fewer than 5 windows.
  std::optional<Interval> ratio_interval = {};
  std::optional<Interval> kl_interval = {};
  std::optional<Interval> agreement_interval = {};
};

// Predictions that have first ... last tokens before them in their window, a BOS token included.
struct PositionLoss {
  int64_t first = 0;
  int64_t last = 0;
  double nll = 0;  // mean, nats
  double kl = -1;  // mean; -1: no reference
};

// What one block of a quantized model does: KL(reference || model) with this block, alone, from the reference.
struct BlockEffect {
  int64_t layer = 0;
  double kl = 0;     // mean a predicted token, nats
  double share = 0;  // by how much that is below the KL of the model as it is; may be below 0
};

// Perplexity of a model on non-overlapping windows.
struct EvalResult {
  double perplexity = 0;  // exp(mean_nll)
  double mean_nll = 0;    // nats a predicted token
  int64_t windows = 0;
  int64_t window = 0;       // tokens of text in each
  int64_t predictions = 0;  // window - 1 in each window, or window with a BOS token in front
  double seconds = 0;
  double flops = 0;                       // floating point operations, those of the reference and the others included
  std::string format;                     // "full precision" or the name of the export format
  std::string compute = "f32";            // inputs of the matrix products: "f32" or "bf16"
  std::optional<AgainstResult> against;   // when a reference was given
  std::string name = {};                  // last part of the path of the model
  bool bos = false;                       // BOS stands before each window
  std::optional<Interval> interval = {};  // of the perplexity, by block bootstrap; none below 5 windows
  double median_nll = 0;
  double trimmed_nll = 0;                    // mean without the 1 % largest and the 1 % smallest
  double bits_per_byte = -1;                 // bits a byte of the text that is predicted
  std::vector<PositionLoss> positions = {};  // in ranges that double
  std::vector<BlockEffect> blocks = {};      // with EvalOptions::attribute, by layer
  std::vector<EvalResult> others = {};       // of EvalOptions::others
  // How far the tokens of the text are from those that the model was calibrated on, as CalibrationFacts::token_halves;
  // -1: the model has no record that knows.
  double calibration_distance = -1;
};

// How often a model chooses right, by the likelihood of each choice behind the question.
struct TaskScore {
  std::string name;     // last part of the path of the model
  std::string format;   // "full precision" or the name of the export format
  double accuracy = 0;  // the choice of the largest sum of log-likelihoods
  Interval accuracy_interval;
  double accuracy_norm = 0;  // of the largest sum divided by the characters of the choice
  Interval accuracy_norm_interval;
  std::vector<std::vector<double>> log_likelihoods = {};  // of each choice of each question, nats; sums over its tokens
};

struct TaskResult {
  std::string name;   // of the file, without folders
  int64_t items = 0;  // questions
  double chance = 0;  // accuracy of guessing
  std::vector<TaskScore> models;
};

struct TasksResult {
  std::vector<TaskResult> tasks;
  std::string compute = "f32";  // inputs of the matrix products: "f32" or "bf16"
  bool bos = false;             // BOS stands before each question
  double seconds = 0;
};

// What a model writes behind a prompt.
struct ComparedAnswer {
  std::string text;
  std::vector<int32_t> ids;
  std::string stop;  // "end of text" or "length"
  // Where it parts from the answer of the first model; -1: it does not, or it is that of the first model.
  int64_t parts_at_token = -1;  // index in ids; -1 also when the models have different tokens
  int64_t parts_at_byte = -1;   // in text
};

struct ComparedPrompt {
  std::string prompt;
  std::vector<ComparedAnswer> answers;  // one a model
};

struct CompareResult {
  std::vector<std::string> models;  // last parts of their paths
  std::vector<ComparedPrompt> prompts;
  uint64_t seed = 0;
  double seconds = 0;
  std::vector<int64_t> votes = {};  // a count a model, after a vote without names; empty: there was none
};

}  // namespace hesse
