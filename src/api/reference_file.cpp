#include "api/reference_file.h"

#include <fmt/format.h>

#include <algorithm>
#include <cstring>
#include <utility>

#include "base/checked.h"
#include "base/sha256.h"
#include "hesse/error.h"
#include "io/file.h"
#include "io/json.h"
#include "kernels/kernels.h"
#include "model/compute.h"

namespace hesse {
namespace {

constexpr const char* kSchema = "hesse-reference/1";
constexpr const char* kAbout = "about";
constexpr const char* kIds = "ids";
constexpr const char* kInput = "x";
constexpr const char* kHead = "head";
constexpr const char* kBias = "head.bias";

// The narrowest type that holds every element of a head as it is; heads are made of 16-bit files.
DType exact_type(const ComputeMatrix& weight) {
  if (weight.type() == ComputeType::kBF16) return DType::kBF16;
  const float* begin = weight.f32().data();
  const float* end = begin + weight.size();
  if (std::all_of(begin, end, [](float v) { return bf16_to_float(float_to_bf16(v)) == v; })) return DType::kBF16;
  if (std::all_of(begin, end, [](float v) { return f16_to_float(float_to_f16(v)) == v; })) return DType::kF16;
  return DType::kF32;
}

DType stored_type(ComputeType compute) { return compute == ComputeType::kBF16 ? DType::kBF16 : DType::kF32; }

std::span<const std::byte> bytes_of(const void* data, int64_t size) {
  return {static_cast<const std::byte*>(data), static_cast<size_t>(size)};
}

std::string about_json(const Model& model, const Windows& windows, const ReferenceWriter::About& about) {
  const ModelConfig& config = model.config();
  return Json(Json::Object{{"schema", kSchema},
                           {"model", about.model},
                           {"compute", std::string(compute_name(model.compute()))},
                           {"bos", windows.bos != 0},
                           {"logit_scale", static_cast<double>(config.logit_scale)},
                           {"logit_softcap", static_cast<double>(config.logit_softcap)},
                           {"text_sha256", windows.text_sha256},
                           {"tokenizer_sha256", about.tokenizer_sha256}})
      .dump();
}

// Rows of a head as float32, whatever they are in the file.
Matrix<float> widen(const TensorView& tensor) {
  Matrix<float> m(tensor.spec.shape[0], tensor.spec.shape[1]);
  if (tensor.spec.dtype == DType::kF32) {
    std::memcpy(m.data(), tensor.bytes.data(), tensor.bytes.size());
    return m;
  }
  Matrix<uint16_t> bits(m.rows(), m.cols());
  std::memcpy(bits.data(), tensor.bytes.data(), tensor.bytes.size());
  (tensor.spec.dtype == DType::kBF16 ? bf16_to_f32 : f16_to_f32)(bits.data(), m.data(), m.size());
  return m;
}

std::string windows_text(int64_t length, int64_t bos) {
  return fmt::format("windows of {} tokens {} BOS", length - bos, bos != 0 ? "behind a" : "without");
}

}  // namespace

std::string tokenizer_sha256(const std::filesystem::path& directory) {
  std::string all;
  for (const char* name : {"tokenizer.json", "tokenizer.model", "vocab.json", "merges.txt"}) {
    if (std::filesystem::exists(directory / name)) all += sha256_hex(read_text_file(directory / name));
  }
  return all.empty() ? all : sha256_hex(all);
}

ReferenceWriter::ReferenceWriter(const std::filesystem::path& path, const Model& model, const Windows& windows,
                                 const About& about)
    : path_(path), aside_(path.string() + ".part") {
  if (std::filesystem::exists(path)) {
    throw Error(ErrorKind::kUsage, fmt::format("[reference] {} exists; remove it or name another file", path.string()));
  }
  remove_file(aside_);
  const Model::Head head = model.head();
  const Linear& linear = head.linear();
  const std::string text = about_json(model, windows, about);
  std::vector<TensorSpec> specs = {
      {kAbout, DType::kU8, {static_cast<int64_t>(text.size())}},
      {kIds, DType::kI32, {windows.count(), windows.length()}},
      {kInput, stored_type(linear.weight.type()), {windows.count() * windows.length(), linear.weight.cols()}},
      {kHead, exact_type(linear.weight), {linear.weight.rows(), linear.weight.cols()}}};
  if (!linear.bias.empty()) specs.push_back({kBias, DType::kF32, {linear.weight.rows()}});
  writer_ = std::make_unique<SafetensorsWriter>(aside_, layout_safetensors(std::move(specs)));
  writer_->write(kAbout, bytes_of(text.data(), static_cast<int64_t>(text.size())));
  writer_->write(kIds, bytes_of(windows.ids.data(), windows.ids.size() * 4));
  write_head(linear);
}

ReferenceWriter::~ReferenceWriter() = default;

void ReferenceWriter::write_head(const Linear& head) {
  const ComputeMatrix& weight = head.weight;
  const DType type = exact_type(weight);
  const int64_t row_bytes = dtype_size(type) * weight.cols();
  std::vector<uint16_t> narrow(static_cast<size_t>(weight.cols()));
  for (int64_t r = 0; r < weight.rows(); ++r) {
    const void* row = narrow.data();
    if (type == DType::kF32) {
      row = weight.f32().row(r);
    } else if (weight.type() == ComputeType::kBF16) {
      row = weight.view().bf16().row(r);
    } else {
      const float* values = weight.f32().row(r);
      std::transform(values, values + weight.cols(), narrow.begin(),
                     type == DType::kBF16 ? float_to_bf16 : float_to_f16);
    }
    writer_->write_part(kHead, r * row_bytes, bytes_of(row, row_bytes));
  }
  if (!head.bias.empty()) {
    writer_->write(kBias, bytes_of(head.bias.data(), static_cast<int64_t>(head.bias.size()) * 4));
  }
}

void ReferenceWriter::add(ConstComputeView x) {
  const int64_t bytes = x.rows * x.cols * dtype_size(stored_type(x.type));
  writer_->write_part(kInput, written_, bytes_of(x.data, bytes));
  written_ += bytes;
}

void ReferenceWriter::finish() {
  writer_->finish();
  writer_.reset();
  rename_path(aside_, path_);
}

SavedReference::SavedReference(const std::filesystem::path& path) : file_(path), name_(path.filename().string()) {
  read_about();
  read_head();
  const TensorView& ids = tensor(kIds, {DType::kI32}, 2);
  ids_ = Matrix<int32_t>(ids.spec.shape[0], ids.spec.shape[1]);
  if (!ids_.empty()) std::memcpy(ids_.data(), ids.bytes.data(), ids.bytes.size());
  const TensorView& x = tensor(kInput, {stored_type(compute_)}, 2);
  if (x.spec.shape[0] != ids_.size() || x.spec.shape[1] != head_.weight.cols()) {
    throw Error(ErrorKind::kBadInput,
                fmt::format("[reference] {}: 'x' is {} x {}, but {} tokens and a head of width {} "
                            "belong to it; damaged file?",
                            name_, x.spec.shape[0], x.spec.shape[1], ids_.size(), head_.weight.cols()));
  }
  x_ = x.bytes;
}

const TensorView& SavedReference::tensor(std::string_view name, std::initializer_list<DType> dtypes,
                                         size_t dimensions) const {
  for (const TensorView& view : file_.tensors()) {
    if (view.spec.name != name) continue;
    if (view.spec.shape.size() == dimensions &&
        std::find(dtypes.begin(), dtypes.end(), view.spec.dtype) != dtypes.end())
      return view;
    throw Error(ErrorKind::kBadInput, fmt::format("[reference] {}: '{}' is {} of {} dimensions, not what belongs there",
                                                  name_, name, dtype_name(view.spec.dtype), view.spec.shape.size()));
  }
  throw Error(ErrorKind::kBadInput,
              fmt::format("[reference] {}: '{}' is missing; is it a file that --save-reference made?", name_, name));
}

void SavedReference::read_about() {
  const TensorView& view = tensor(kAbout, {DType::kU8}, 1);
  const std::string_view text(reinterpret_cast<const char*>(view.bytes.data()), view.bytes.size());
  const std::string where = name_ + ", 'about'";
  const Json about = Json::parse(text, where);
  const auto member = [&](std::string_view key) {
    const Json* value = about.find_value(key);
    if (value == nullptr) throw Error(ErrorKind::kBadInput, fmt::format("[reference] {}: no '{}'", where, key));
    return *value;
  };
  if (const std::string schema = member("schema").as_string(where); schema != kSchema) {
    throw Error(ErrorKind::kBadInput,
                fmt::format("[reference] {}: schema '{}', this version reads '{}'", where, schema, kSchema));
  }
  model_ = member("model").as_string(where);
  text_sha256_ = member("text_sha256").as_string(where);
  tokenizer_sha256_ = member("tokenizer_sha256").as_string(where);
  bos_ = member("bos").as_bool(where) ? 1 : 0;
  compute_ = member("compute").as_string(where) == "bf16" ? ComputeType::kBF16 : ComputeType::kF32;
  finish_.logit_scale = static_cast<float>(member("logit_scale").as_double(where));
  finish_.logit_softcap = static_cast<float>(member("logit_softcap").as_double(where));
}

void SavedReference::read_head() {
  const TensorView& weight = tensor(kHead, {DType::kF32, DType::kF16, DType::kBF16}, 2);
  if (weight.spec.shape[0] == 0 || weight.spec.shape[1] == 0) {
    throw Error(ErrorKind::kBadInput, fmt::format("[reference] {}: 'head' is empty; damaged file?", name_));
  }
  head_.name = kHead;
  head_.weight = to_compute_type(compute_, widen(weight));
  const auto& all = file_.tensors();
  if (std::none_of(all.begin(), all.end(), [](const TensorView& view) { return view.spec.name == kBias; })) return;
  const TensorView& bias = tensor(kBias, {DType::kF32}, 1);
  if (bias.spec.shape[0] != weight.spec.shape[0]) {
    throw Error(ErrorKind::kBadInput,
                fmt::format("[reference] {}: 'head.bias' has {} elements, 'head' {} rows; damaged "
                            "file?",
                            name_, bias.spec.shape[0], weight.spec.shape[0]));
  }
  head_.bias.resize(static_cast<size_t>(bias.spec.shape[0]));
  std::memcpy(head_.bias.data(), bias.bytes.data(), bias.bytes.size());
}

void SavedReference::require(const Windows& windows, const std::string& tokenizer) const {
  const auto refuse = [&](const std::string& what) {
    throw Error(ErrorKind::kBadInput, fmt::format("[reference] {}: {}", name_, what));
  };
  if (windows.length() != ids_.cols() || windows.bos != bos_) {
    refuse(fmt::format("{}, but it was made of {}; give --window {} --bos {}",
                       windows_text(windows.length(), windows.bos), windows_text(ids_.cols(), bos_), ids_.cols() - bos_,
                       bos_ != 0 ? "always" : "never"));
  }
  const int64_t both = std::min(windows.count(), ids_.rows());
  const int32_t* begin = windows.ids.data();
  const int32_t* end = begin + both * windows.length();
  const int32_t* other = std::mismatch(begin, end, ids_.data()).first;
  if (other != end) {
    if (windows.text_sha256 != text_sha256_) refuse("it was made of another text; give that text, or make it again");
    if (tokenizer != tokenizer_sha256_)
      refuse(
          "it was made with another tokenizer; its model and this one do not belong "
          "together");
    refuse(fmt::format("the tokens of window {} are others; make it again", (other - begin) / windows.length()));
  }
  if (windows.count() > ids_.rows()) {
    refuse(fmt::format("{} windows are asked for, it has {}; give --windows {}", windows.count(), ids_.rows(),
                       ids_.rows()));
  }
}

void SavedReference::begin(WindowIds ids, int64_t first_window, const EvalProgress&) {
  first_token_ = first_window * ids.cols;
}

Matrix<float> SavedReference::logits(int64_t first, int64_t rows) const {
  ComputeMatrix x(compute_, rows, head_.weight.cols());
  const size_t row_bytes = static_cast<size_t>(x.cols() * dtype_size(stored_type(compute_)));
  std::memcpy(x.view().data, x_.data() + static_cast<size_t>(first_token_ + first) * row_bytes,
              static_cast<size_t>(rows) * row_bytes);
  Matrix<float> logits(rows, vocab());
  apply_linear(head_, std::as_const(x).view(), logits.view());
  finish_logits(finish_, logits.view());
  return logits;
}

}  // namespace hesse
