// What a model says on windows of text, kept in a file: docs/FORMATS.md, "reference". It holds what the head multiplies
// and the head itself, in types that lose nothing, so that logits come out of it as they come out of the model. Logits
// would be vocabulary / width times as many numbers: 62 times with Llama 3.2 1B, 85 times with SmolLM2 135M.
#pragma once

#include <filesystem>
#include <memory>
#include <string>
#include <vector>

#include "data/windows.h"
#include "eval/perplexity.h"
#include "io/safetensors.h"
#include "model/model.h"

namespace hesse {

// Tells tokenizers apart by their files; empty when there are none.
std::string tokenizer_sha256(const std::filesystem::path& directory);

class ReferenceWriter {
 public:
  struct About {
    std::string model;  // its name
    std::string tokenizer_sha256;
  };
  // Writes aside; `path` must not exist: Error(kUsage).
  ReferenceWriter(const std::filesystem::path& path, const Model& model, const Windows& windows, const About& about);
  ~ReferenceWriter();
  // What the head multiplies, of one token after the other.
  void add(ConstComputeView x);
  void finish();  // all tokens are there: the file appears

 private:
  void write_head(const Linear& head);

  std::filesystem::path path_;
  std::filesystem::path aside_;
  std::unique_ptr<SafetensorsWriter> writer_;
  int64_t written_ = 0;  // bytes of x
};

class SavedReference : public Reference {
 public:
  // Error(kBadInput) for a file that is damaged or no reference.
  explicit SavedReference(const std::filesystem::path& path);
  // Error(kBadInput) in one line when the file does not begin with these windows: what differs, and what to do.
  void require(const Windows& windows, const std::string& tokenizer_sha256) const;

  const std::string& model() const { return model_; }
  int64_t vocab() const override { return head_.weight.rows(); }
  bool computes() const override { return false; }
  void begin(WindowIds ids, int64_t first_window, const EvalProgress& progress) override;
  Matrix<float> logits(int64_t first, int64_t rows) const override;

 private:
  const TensorView& tensor(std::string_view name, std::initializer_list<DType> dtypes, size_t dimensions) const;
  void read_about();
  void read_head();

  SafetensorsFile file_;
  std::string name_;  // of the file
  std::string model_, text_sha256_, tokenizer_sha256_;
  int64_t bos_ = 0;
  ModelConfig finish_;  // only what finish_logits() reads
  ComputeType compute_ = ComputeType::kF32;
  Matrix<int32_t> ids_;  // [windows, length]
  Linear head_;
  std::span<const std::byte> x_;  // [windows * length, width]
  int64_t first_token_ = 0;
};

}  // namespace hesse
