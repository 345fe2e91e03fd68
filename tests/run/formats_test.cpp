// Every export format through the whole tool: written by a run, verified, read back, converted into the others.
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <algorithm>
#include <cstring>

#include "api/open_model.h"
#include "base/dtype.h"
#include "hesse/api.h"
#include "io/file.h"
#include "model/reference.h"
#include "run/resume_testing.h"

namespace hesse {
namespace {

namespace fs = std::filesystem;
using testing::AllOf;
using testing::HasSubstr;
using testing::IsEmpty;
using testing::Not;

constexpr const char* kLinear = "model.layers.1.mlp.down_proj";  // 48 inputs: three groups of 16

// All packed tensors, by name, in their bytes.
std::map<std::string, std::string> tensors_of(const fs::path& directory) {
  const Checkpoint checkpoint(directory);
  std::map<std::string, std::string> tensors;
  for (const TensorView* tensor : checkpoint.tensors()) {
    tensors[tensor->spec.name] = std::string(reinterpret_cast<const char*>(tensor->bytes.data()), tensor->bytes.size());
  }
  return tensors;
}

void write_checkpoint(const fs::path& path, const std::vector<std::pair<TensorSpec, std::string>>& tensors) {
  std::vector<TensorSpec> specs;
  for (const auto& [spec, bytes] : tensors) specs.push_back(spec);
  remove_file(path);
  SafetensorsWriter writer(path, layout_safetensors(specs));
  for (const auto& [spec, bytes] : tensors) writer.write(spec.name, std::as_bytes(std::span(bytes)));
  writer.finish();
}

// Rewrites model.safetensors; `change` may alter the bytes, and leaves a tensor out by returning false.
template <class Change>
void change_tensors(const fs::path& directory, Change change) {
  std::vector<std::pair<TensorSpec, std::string>> tensors;
  {
    const Checkpoint checkpoint(directory);
    for (const TensorView* tensor : checkpoint.tensors()) {
      std::string bytes(reinterpret_cast<const char*>(tensor->bytes.data()), tensor->bytes.size());
      if (change(tensor->spec.name, bytes)) tensors.emplace_back(tensor->spec, std::move(bytes));
    }
  }
  write_checkpoint(directory / "model.safetensors", tensors);
}

template <class Change>
void change_json(const fs::path& path, Change change) {
  Json json = Json::parse(read_text_file(path), path.filename().string());
  change(json);
  remove_file(path);
  write_text_file(path, json.dump(2));
}

// Some groups of one linear change places, as with act-order of other tools.
void permute_groups(const fs::path& directory) {
  change_tensors(directory, [&](const std::string& name, std::string& bytes) {
    if (name == std::string(kLinear) + ".g_idx") {
      for (const auto& [a, b] : {std::pair<size_t, size_t>{0, 47}, {3, 20}, {17, 33}})
        std::swap_ranges(bytes.begin() + static_cast<std::ptrdiff_t>(a * 4),
                         bytes.begin() + static_cast<std::ptrdiff_t>(a * 4 + 4),
                         bytes.begin() + static_cast<std::ptrdiff_t>(b * 4));
    }
    return true;
  });
  for (const char* name : {"config.json", "quantize_config.json"}) {
    change_json(directory / name, [&](Json& json) {
      if (std::string_view(name) == "quantize_config.json") return json.set("desc_act", true);
      Json quantization = *json.find("quantization_config");
      quantization.set("desc_act", true);
      json.set("quantization_config", quantization);
    });
  }
}

class Formats : public Resume {
 protected:
  std::string out(const std::string& name) const { return (folder_ / name).string(); }

  RunRecord make(const std::string& name, const std::string& format, bool symmetric = true, int bits = 4) {
    QuantizeOptions o = options("r");
    o.output = out(name);
    o.format = format;
    o.symmetric = symmetric;
    o.bits = bits;
    return run(o);
  }
  ConvertResult convert_to(const std::string& from, const std::string& to, const std::string& format) {
    return convert({.model = out(from), .output = out(to), .format = format}, listener_);
  }
  std::string refusal(const std::string& from, const std::string& format) {
    try {
      convert_to(from, "refused", format);
    } catch (const Error& error) {
      EXPECT_EQ(error.kind(), ErrorKind::kUsage) << error.what();
      EXPECT_FALSE(fs::exists(folder_ / "refused"));
      return error.what();
    }
    return "no error";
  }
  std::vector<std::string> errors_of(const std::string& name) {
    std::vector<std::string> errors;
    for (const Finding& finding : verify({.model = out(name)}, listener_).findings) {
      if (finding.severity == Severity::kError) errors.push_back(finding.check + ": " + finding.what);
    }
    return errors;
  }
  Matrix<float> weight(const std::string& name) const {
    return std::move(open_model(out(name)).source->linear_as(ComputeType::kF32, kLinear).f32());
  }
};

bool same(const Matrix<float>& a, const Matrix<float>& b) {
  return a.rows() == b.rows() && a.cols() == b.cols() && std::equal(a.data(), a.data() + a.size(), b.data());
}

TEST_F(Formats, EachIsWrittenVerifiedAndRead) {
  make("first", "auto");
  const Matrix<float> meant = weight("first");
  for (const ExportFormat* format : export_formats()) {
    const std::string name(format->name());
    SCOPED_TRACE(name);
    const RunRecord record = make(name, name);
    EXPECT_EQ(record.format, name);
    EXPECT_THAT(errors_of(name), IsEmpty());
    EXPECT_EQ(inspect({.model = out(name)}).format, format->keeps_codes() ? name : "full precision");
    const Matrix<float> read = weight(name);
    if (format->keeps_codes()) {
      EXPECT_TRUE(same(read, meant));
      continue;
    }
    for (int64_t i = 0; i < meant.size(); ++i) {
      const float value = meant.data()[i];
      ASSERT_EQ(read.data()[i],
                name == "fp16" ? f16_to_float(float_to_f16(value)) : bf16_to_float(float_to_bf16(value)));
    }
    const Json config = Json::parse(read_text_file(folder_ / name / "config.json"), "t");
    EXPECT_EQ(config.find("quantization_config"), nullptr);
    EXPECT_EQ(config.find("dtype")->as_string("t"), name == "fp16" ? "float16" : "bfloat16");
  }
}

TEST_F(Formats, ASolvedRunComesBackToo) {
  for (const std::string format : {"compressed-tensors", "awq", "bf16"}) {
    QuantizeOptions o = options("");
    o.output = out(format);
    o.format = format;
    o.symmetric = false;
    run(o);
    EXPECT_THAT(errors_of(format), IsEmpty());
  }
  convert_to("compressed-tensors", "again", "awq");
  EXPECT_EQ(tensors_of(folder_ / "again"), tensors_of(folder_ / "awq"));
  convert_to("awq", "plain", "bf16");
  EXPECT_EQ(tensors_of(folder_ / "plain"), tensors_of(folder_ / "bf16"));
}

// Interrupted at every point, a run in a format that keeps no codes goes on to the same bytes.
TEST_F(Formats, PlainRunsGoOn) {
  QuantizeOptions o = options("");
  o.format = "fp16";
  run(o);
  const auto whole = tensors_of(folder_ / "out");
  for (int64_t after = 1; after < SmallModel::kLinears; after += 4) {
    fs::remove_all(folder_ / "out");
    listener_ = Counter();
    listener_.stop_after = after;
    EXPECT_THROW(quantize_with(o, listener_, small_settings(true)), Error);
    run(o);
    EXPECT_EQ(tensors_of(folder_ / "out"), whole) << after;
  }
}

TEST_F(Formats, PartsAreSolvedAgainWhereCodesAreKept) {
  for (const std::string format : {"compressed-tensors", "awq", "gptq_v2"}) {
    SCOPED_TRACE(format);
    QuantizeOptions o = options("");
    o.output = out(format);
    o.format = format;
    run(o);
    const auto before = tensors_of(o.output);
    QuantizeOptions redo = options("d");
    redo.output = o.output;
    redo.format = format;
    run(redo);
    EXPECT_THAT(errors_of(format), IsEmpty());
    const auto after = tensors_of(o.output);
    for (const auto& [name, bytes] : before) {
      if (name.find("layers.1.") != std::string::npos) continue;
      EXPECT_EQ(after.at(name), bytes) << name;
    }
    EXPECT_NE(before, after);
  }
  QuantizeOptions plain = options("");
  plain.output = out("fp16");
  plain.format = "fp16";
  run(plain);
  plain.redo = {"model.layers.1.*"};
  EXPECT_THAT([&] { run(plain); }, testing::ThrowsMessage<Error>(HasSubstr("format fp16 keeps no codes")));
}

TEST_F(Formats, ConversionsThereAndBackChangeNothing) {
  for (const bool symmetric : {true, false}) {
    const std::string home = symmetric ? "gptq" : "gptq_v2";
    make("home", home, symmetric);
    const auto meant = tensors_of(folder_ / "home");
    for (const std::string format : {"gptq_v2", "compressed-tensors", "awq"}) {
      SCOPED_TRACE(format);
      const ConvertResult there = convert_to("home", "there", format);
      EXPECT_TRUE(there.exact);
      EXPECT_EQ(there.linears, SmallModel::kLinears);
      EXPECT_THAT(errors_of("there"), IsEmpty());
      const ConvertResult back = convert_to("there", "back", home);
      EXPECT_EQ(back.from, format);
      EXPECT_EQ(tensors_of(folder_ / "back"), meant);
      EXPECT_THAT(errors_of("back"), IsEmpty());
      EXPECT_EQ(read_text_file(folder_ / "back/tokenizer.json"), read_text_file(folder_ / "model/tokenizer.json"));
      fs::remove_all(folder_ / "there");
      fs::remove_all(folder_ / "back");
    }
    fs::remove_all(folder_ / "home");
  }
}

TEST_F(Formats, ActOrderOfOtherToolsIsConvertedWhereThereIsAPlaceForIt) {
  make("home", "gptq_v2", false);
  permute_groups(folder_ / "home");
  EXPECT_THAT(errors_of("home"), IsEmpty());
  const Matrix<float> meant = weight("home");
  convert_to("home", "ct", "compressed-tensors");
  EXPECT_NE(Checkpoint(folder_ / "ct").find(std::string(kLinear) + ".weight_g_idx"), nullptr);
  EXPECT_TRUE(same(weight("ct"), meant));
  convert_to("ct", "back", "gptq_v2");
  EXPECT_EQ(tensors_of(folder_ / "back"), tensors_of(folder_ / "home"));
  const Json config = Json::parse(read_text_file(folder_ / "back/config.json"), "t");
  EXPECT_TRUE(config.find("quantization_config")->find("desc_act")->as_bool("t"));
  convert_to("home", "plain", "bf16");
  EXPECT_THAT(refusal("home", "awq"), AllOf(HasSubstr(kLinear), HasSubstr("act-order groups: g_idx of input 0 is 2")));
}

TEST_F(Formats, WhatAFormatCannotExpressIsNamed) {
  make("asym", "gptq_v2", false);
  EXPECT_THAT(refusal("asym", "gptq"), HasSubstr("symmetric grids only"));
  make("eight", "gptq", true, 8);
  EXPECT_THAT(refusal("eight", "awq"), HasSubstr("bits = 8, the layout has 4 only"));
  QuantizeOptions o = options("r");
  o.group_size = 32;  // 48 = 32 + 16
  o.output = out("ragged");
  run(o);
  EXPECT_THAT(refusal("ragged", "compressed-tensors"), HasSubstr("in = 48 is not a multiple of group_size = 32"));
  EXPECT_THAT(refusal("model", "awq"), HasSubstr("of full precision"));
}

TEST_F(Formats, FilesOfAPage) {
  make("home", "gptq");
  write_text_file(folder_ / "home/LICENSE", "free");
  const ConvertOptions o{
      .model = out("home"), .output = out("page"), .format = "awq", .shard_size = 0.0002, .hub_layout = true};
  convert(o, listener_);
  for (const char* file : {"LICENSE", ".gitattributes", "tokenizer_config.json"})
    EXPECT_TRUE(fs::exists(folder_ / "page" / file)) << file;
  EXPECT_FALSE(fs::exists(folder_ / "page/quantize_config.json"));
  EXPECT_THAT(read_text_file(folder_ / "page/README.md"), AllOf(HasSubstr("base_model: "), HasSubstr("`awq`")));
  EXPECT_THAT(errors_of("page"), IsEmpty());
  EXPECT_THROW(convert(o, listener_), Error) << "it is there";
  ConvertOptions again = o;
  again.overwrite = true;
  EXPECT_NO_THROW(convert(again, listener_));
}

// A model with linears that were left alone: the configuration of each format says which.
TEST_F(Formats, PartlyPackedModelsSayWhatIsPlain) {
  for (const std::string format : {"gptq", "compressed-tensors", "awq"}) {
    SCOPED_TRACE(format);
    QuantizeOptions o = options("r");
    o.output = out(format);
    o.format = format;
    o.layers = "0";
    run(o);
    const Json config = Json::parse(read_text_file(folder_ / format / "config.json"), "t");
    const std::vector<std::string> plain = export_format(format).listed_as_plain(*config.find("quantization_config"));
    EXPECT_THAT(plain, testing::Contains(kLinear));
    EXPECT_THAT(errors_of(format), IsEmpty());
  }
  convert_to("gptq", "ct", "compressed-tensors");
  EXPECT_EQ(read_text_file(folder_ / "ct/config.json"), read_text_file(folder_ / "compressed-tensors/config.json"));
  convert_to("awq", "back", "gptq");
  const Json config = Json::parse(read_text_file(folder_ / "back/config.json"), "t");
  const Json* packed = config.find("quantization_config")->find("modules_in_block_to_quantize");
  EXPECT_THAT(packed->dump(), AllOf(HasSubstr("model.layers.0.mlp.down_proj"), Not(HasSubstr("model.layers.1."))));
}

class Damaged : public Formats {
 protected:
  void SetUp() override {
    Formats::SetUp();
    make("home", "gptq");
    ASSERT_THAT(errors_of("home"), IsEmpty());
  }
  template <class Change>
  void change_quantization(Change change) {
    change_json(folder_ / "home/config.json", [&](Json& json) {
      Json quantization = *json.find("quantization_config");
      change(quantization);
      json.set("quantization_config", quantization);
    });
  }
};

TEST_F(Damaged, GroupsThatTheConfigurationDenies) {
  permute_groups(folder_ / "home");
  change_quantization([](Json& json) { json.set("desc_act", false); });
  EXPECT_THAT(errors_of("home"), testing::Contains(HasSubstr("config.desc_act")));
}

TEST_F(Damaged, TensorsThatAreMissing) {
  change_tensors(folder_ / "home",
                 [](const std::string& name, std::string&) { return name != std::string(kLinear) + ".qweight"; });
  EXPECT_THAT(errors_of("home"), testing::Contains(AllOf(HasSubstr("packed.incomplete"), HasSubstr(kLinear))));
}

TEST_F(Damaged, ZeroPointsThatAreNotTheMiddle) {
  change_tensors(folder_ / "home", [](const std::string& name, std::string& bytes) {
    if (name == std::string(kLinear) + ".qzeros") bytes[3] = static_cast<char>(bytes[3] ^ 0x10);
    return true;
  });
  EXPECT_THAT(errors_of("home"), testing::ElementsAre(AllOf(HasSubstr("packed.unreadable"), HasSubstr(kLinear),
                                                            HasSubstr("instead of 8"))));
}

TEST_F(Damaged, ConfigurationsThatDisagree) {
  change_quantization(
      [](Json& json) { json.set("dynamic", Json::parse(R"({"-:^model\\.layers\\.1\\.mlp\\.down_proj$": {}})", "t")); });
  change_json(folder_ / "home/quantize_config.json", [](Json& json) { json.set("group_size", 32); });
  EXPECT_THAT(errors_of("home"),
              testing::ElementsAre(AllOf(HasSubstr("config.lists"), HasSubstr(kLinear)),
                                   AllOf(HasSubstr("config.twin"), HasSubstr("16"), HasSubstr("32"))));
}

TEST_F(Damaged, ValuesThatAreNotFinite) {
  change_tensors(folder_ / "home", [](const std::string& name, std::string& bytes) {
    const float nan = std::numeric_limits<float>::quiet_NaN();
    if (name == "model.embed_tokens.weight") std::memcpy(bytes.data() + 40, &nan, sizeof nan);
    return true;
  });
  EXPECT_THAT(errors_of("home"), testing::Contains(HasSubstr("weights.finite")));
}

// GPT-2 keeps its plain weights [in, out], and packed ones as everybody.
TEST_F(Formats, PlainWeightsLieAsTheFamilyHasThem) {
  const fs::path model = folder_ / "gpt2";
  fs::create_directories(model);
  for (const char* file : {"config.json", "model.safetensors"})
    fs::copy_file(kReferences / "gpt2" / file, model / file);
  fs::copy_file(folder_ / "model/tokenizer_config.json", model / "tokenizer_config.json");
  Json vocab = Json::object();
  for (const char* special : {"<pad>", "<s>", "</s>"}) vocab.set(special, Json(std::ssize(vocab.as_object("vocab"))));
  for (char c = '!'; c <= '}'; ++c) vocab.set(std::string(1, c), Json(std::ssize(vocab.as_object("vocab"))));
  Json tokenizer = Json::parse(read_text_file(folder_ / "model/tokenizer.json"), "t");
  Json bpe = *tokenizer.find("model");
  bpe.set("vocab", vocab);
  tokenizer.set("model", bpe);
  write_text_file(model / "tokenizer.json", tokenizer.dump());
  const auto quantized = [&](const std::string& format) {
    QuantizeOptions o = options("r");
    o.model = model.string();
    o.output = out(format);
    o.format = format;
    o.group_size = 8;
    run(o);
    return std::move(open_model(o.output)
                         .source
                         ->linear_as(ComputeType::kF32, "transformer.h.1.mlp.c_fc",
                                     format == "gptq" ? WeightLayout::kOutIn : WeightLayout::kInOut)
                         .f32());
  };
  const Matrix<float> packed = quantized("gptq"), plain = quantized("bf16");
  ASSERT_EQ(packed.rows(), plain.rows());
  for (int64_t i = 0; i < packed.size(); ++i)
    ASSERT_EQ(plain.data()[i], bf16_to_float(float_to_bf16(packed.data()[i]))) << i;
  convert_to("gptq", "converted", "bf16");
  EXPECT_EQ(tensors_of(folder_ / "converted"), tensors_of(folder_ / "bf16"));
}

// Wider MLPs change nothing but the width: with plain numbers of a result at 8 bits in place of the weights, the same
// likelihood as without.
TEST_F(Formats, PaddedModelsComputeTheSame) {
  const auto likelihood = [&](const std::string& name) {
    EvalOptions e;
    e.model = out(name);
    e.text = {out("model") + ".txt"};
    e.window = 16;
    e.windows = 8;
    return evaluate(e, listener_).mean_nll;
  };
  for (const std::string format : {"gptq", "bf16"}) {
    QuantizeOptions o = options("r");
    o.format = format;
    o.bits = 8;
    o.layers = "0";  // the linears of the other layer are padded as they are
    o.output = out(format);
    run(o);
    o.pad_intermediate = 64;
    o.output = out(format + "-wide");
    run(o);
    EXPECT_EQ(inspect({.model = o.output}).intermediate, 64);
    EXPECT_THAT(errors_of(format + "-wide"), IsEmpty());
    EXPECT_NEAR(likelihood(format + "-wide"), likelihood(format), 1e-5);
  }
  QuantizeOptions o = options("");
  o.pad_intermediate = 64;
  o.output = out("solved");
  run(o);
  EXPECT_THAT(errors_of("solved"), IsEmpty());
  o.pad_intermediate = 32;
  EXPECT_THAT([&] { run(o); }, testing::ThrowsMessage<Error>(HasSubstr("32 is less than the 48 channels")));
}

}  // namespace
}  // namespace hesse
