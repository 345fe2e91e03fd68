// Every reference model quantized, written, read back and run: what the file holds, and that it is still a model.
#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <unistd.h>

#include <cmath>
#include <map>
#include <set>
#include <string>
#include <vector>

#include "api/model_copy.h"
#include "api/quantize_with.h"
#include "base/rng.h"
#include "hesse/api.h"
#include "io/file.h"
#include "model/reference.h"

namespace hesse {
namespace {

namespace fs = std::filesystem;

constexpr int64_t kVocab = 96;

// A letter is a token; the other tokens of the model stand for bytes that the text has not.
void write_tokenizer(const fs::path& directory) {
  Json vocab = Json::object();
  for (const char* special : {"<pad>", "<s>", "</s>"}) vocab.set(special, Json(std::ssize(vocab.as_object("vocab"))));
  vocab.set("\xC4\xA0", 3);  // a space, in the alphabet of bytes
  for (char c = '!'; std::ssize(vocab.as_object("vocab")) < kVocab && c <= '~'; ++c)
    vocab.set(std::string(1, c), Json(std::ssize(vocab.as_object("vocab"))));
  write_text_file(directory / "tokenizer.json",
                  R"({"added_tokens": [], "normalizer": null, "pre_tokenizer": {"type": "ByteLevel",
      "add_prefix_space": false, "use_regex": true}, "post_processor": null, "decoder": {"type": "ByteLevel"},
      "model": {"type": "BPE", "merges": [], "vocab": )" +
                      vocab.dump() + "}}");
  write_text_file(directory / "tokenizer_config.json", R"({"bos_token": "<s>", "eos_token": "</s>"})");
}

void write_text(const fs::path& path) {
  Rng rng(7);
  std::string text;
  for (int i = 0; i < 900; ++i) {
    text += static_cast<char>('a' + rng.below(26));
    if (rng.below(5) == 0) text += ' ';
  }
  write_text_file(path, text);
}

// What the reference says under `key`, where it says something.
std::vector<std::string> said_of(const fs::path& reference, const char* key) {
  const Json made = Json::parse(read_text_file(reference / "reference.json"), "reference.json");
  std::vector<std::string> names;
  if (const Json* list = made.find(key)) {
    for (const Json& name : list->as_array(key)) names.push_back(name.as_string(key));
  }
  return names;
}

// Those whose experts lie together in one tensor.
std::vector<fs::path> packed_references() {
  std::vector<fs::path> folders = reference_models();
  std::erase_if(folders, [](const fs::path& folder) { return said_of(folder, "split").empty(); });
  return folders;
}

class Quantized : public testing::TestWithParam<fs::path> {
 protected:
  void SetUp() override {
    root_ = fs::path(testing::TempDir()) / ("hesse-families-" + std::to_string(::getpid()));
    fs::remove_all(root_);
    fs::create_directories(model());
    for (const auto& entry : fs::directory_iterator(GetParam())) {
      const std::string name = entry.path().filename().string();
      if (name == "config.json" || name.starts_with("model")) fs::copy_file(entry.path(), model() / name);
    }
    write_tokenizer(model());
    write_text(root_ / "text.txt");
  }
  void TearDown() override { fs::remove_all(root_); }

  fs::path model() const { return root_ / "model"; }
  fs::path output() const { return root_ / "out"; }

  QuantizeOptions options() const {
    QuantizeOptions options;
    options.model = model().string();
    options.output = output().string();
    options.calibration = {(root_ / "text.txt").string()};
    options.samples = 8;
    options.length = 32;
    options.group_size = -1;
    options.compute = "f32";
    options.check = false;  // a model of random numbers knows no text
    options.threads = 1;
    return options;
  }
  double perplexity(const fs::path& directory) const {
    EvalOptions options;
    options.model = directory.string();
    options.text = {(root_ / "text.txt").string()};
    options.window = 32;
    Listener listener;
    return evaluate(options, listener).perplexity;
  }
  std::vector<std::string> linears() const { return listed("linears"); }
  std::vector<std::string> listed(const char* key) const { return said_of(GetParam(), key); }

  // All linears of the reference are packed under their names in the file.
  void check_names(const RunRecord& record) const {
    std::vector<std::string> recorded;
    for (const LinearRecord& linear : record.linears) recorded.push_back(linear.name);
    EXPECT_THAT(recorded, testing::UnorderedElementsAreArray(linears()));
  }

  // All other tensors are as they were, those of vision among them.
  void check_file() const {
    const Checkpoint before(model()), after(output());
    std::set<std::string> expected, weights, written;
    for (const std::string& linear : linears()) {
      weights.insert(linear + ".weight");
      for (const char* part : {".qweight", ".qzeros", ".scales", ".g_idx"}) expected.insert(linear + part);
    }
    // Of a tensor that holds several linears nothing is left, and each has a bias of its own.
    for (const std::string& tensor : listed("split")) weights.insert(tensor);
    for (const std::string& bias : listed("biases")) expected.insert(bias);
    for (const TensorView* tensor : before.tensors()) {
      const std::string& name = tensor->spec.name;
      if (weights.count(name) != 0) continue;
      expected.insert(name);
      const TensorView* copy = after.find(name);
      ASSERT_NE(copy, nullptr) << name;
      EXPECT_TRUE(std::equal(tensor->bytes.begin(), tensor->bytes.end(), copy->bytes.begin(), copy->bytes.end()));
    }
    for (const TensorView* tensor : after.tensors()) written.insert(tensor->spec.name);
    EXPECT_EQ(written, expected);
  }

  // 4 bits on rows of random numbers: text stays about as unlikely as it was.
  void check_run() const {
    const double before = perplexity(model()), after = perplexity(output());
    EXPECT_TRUE(std::isfinite(after));
    EXPECT_NEAR(std::log(after), std::log(before), 0.75);
    GenerateOptions generation;
    generation.model = output().string();
    generation.prompt = "hesse";
    generation.max_tokens = 5;
    generation.temperature = 0;
    Listener listener;
    EXPECT_FALSE(generate(generation, listener).ids.empty());
    EXPECT_EQ(inspect({.model = output().string()}).linears.size(), linears().size());
  }

 private:
  fs::path root_;
};
std::string name_of(const testing::TestParamInfo<fs::path>& model) { return model.param.filename().string(); }
INSTANTIATE_TEST_SUITE_P(Families, Quantized, testing::ValuesIn(reference_models()), name_of);
class QuantizedExperts : public Quantized {};
INSTANTIATE_TEST_SUITE_P(Families, QuantizedExperts, testing::ValuesIn(packed_references()), name_of);

TEST_P(Quantized, TheResultIsWhatLoadersExpectAndRuns) {
  Listener listener;
  QuantizeSettings settings;
  settings.predict = false;
  settings.snapshots = {.worth = 1e9, .spare_bytes = 0};
  const RunRecord record = quantize_with(options(), listener, settings);
  check_names(record);
  check_file();
  check_run();
}

// As plain numbers experts are the one tensor that they were, and compute what the codes say.
TEST_P(QuantizedExperts, OfPlainResultsLieTogetherAgain) {
  Listener listener;
  QuantizeOptions packed = options(), plain = options();
  packed.method = plain.method = "rtn";
  packed.output = (output().parent_path() / "packed").string();
  plain.format = "bf16";
  quantize(packed, listener);
  quantize(plain, listener);
  std::set<std::string> expected, written;
  const Checkpoint before(model());
  for (const TensorView* tensor : before.tensors()) {
    const std::string& name = tensor->spec.name;
    if (!name.ends_with("_scales")) expected.insert(name.ends_with("_blocks") ? name.substr(0, name.size() - 7) : name);
  }
  const Checkpoint after(output());
  for (const TensorView* tensor : after.tensors()) {
    written.insert(tensor->spec.name);
    const bool together = tensor->spec.name.ends_with("experts.gate_up_proj");
    EXPECT_EQ(tensor->spec.shape.size() == 3, together || tensor->spec.name.ends_with("experts.down_proj"));
    EXPECT_EQ(tensor->spec.dtype, DType::kBF16);
  }
  EXPECT_EQ(written, expected);
  EXPECT_EQ(Json::parse(read_text_file(output() / "config.json"), "t").find("quantization_config"), nullptr);
  EXPECT_NEAR(std::log(perplexity(output())), std::log(perplexity(packed.output)), 0.02);
  if (!parse_model_config(read_config_json(model()), "t").family->experts.packed.always) return;
  ConvertOptions conversion;
  conversion.model = packed.output;
  conversion.output = packed.output + "-bf16";
  conversion.format = "bf16";
  EXPECT_THROW(convert(conversion, listener), Error);
}

// One that is not finite stays as it is, by itself.
TEST(PackedExperts, OfWhichOneIsNotFiniteAreQuantizedWithoutIt) {
  const fs::path root = fs::path(testing::TempDir()) / ("hesse-skip-" + std::to_string(::getpid()));
  fs::create_directories(root / "model");
  fs::copy_file(kReferences / "gpt_oss/config.json", root / "model/config.json");
  write_tokenizer(root / "model");
  const std::string down = "model.layers.1.mlp.experts.down_proj";
  {
    const Checkpoint from(kReferences / "gpt_oss");
    std::vector<TensorSpec> specs;
    for (const TensorView* tensor : from.tensors()) specs.push_back(tensor->spec);
    SafetensorsWriter writer(root / "model/model.safetensors", layout_safetensors(std::move(specs)));
    for (const TensorView* tensor : from.tensors()) {
      std::vector<std::byte> bytes(tensor->bytes.begin(), tensor->bytes.end());
      const size_t element = 2 * (2 * 24 * 40 + 5 * 40 + 7);  // expert 2, input 5, output 7 of [4, 24, 40]
      if (tensor->spec.name == down) bytes[element] = std::byte{0xC0}, bytes[element + 1] = std::byte{0x7F};
      writer.write(tensor->spec.name, bytes);
    }
    writer.finish();
  }
  QuantizeOptions options;
  options.model = (root / "model").string();
  options.method = "rtn";
  options.group_size = -1;
  options.check = false;
  Listener listener;
  options.output = (root / "stopped").string();
  try {
    quantize(options, listener);
    FAIL() << "accepted";
  } catch (const Error& error) {
    EXPECT_THAT(error.what(), testing::HasSubstr("experts.2.down_proj.weight' has"));
    EXPECT_THAT(error.what(), testing::HasSubstr("row 7, column 5"));
  }
  options.on_nonfinite = "skip-module";
  for (const char* format : {"gptq", "bf16"}) {
    options.format = format;
    options.output = (root / format).string();
    quantize(options, listener);
  }
  const Checkpoint apart(root / "gptq"), together(root / "bf16");
  EXPECT_NE(apart.find("model.layers.1.mlp.experts.2.down_proj.weight"), nullptr);
  EXPECT_NE(apart.find("model.layers.1.mlp.experts.1.down_proj.qweight"), nullptr);
  const Checkpoint original(kReferences / "gpt_oss");
  float value = 0, before = 0;
  convert_to_float(together.at(down), 2 * 24 * 40 + 5 * 40 + 6, 1, &value);
  convert_to_float(original.at(down), 2 * 24 * 40 + 5 * 40 + 6, 1, &before);
  EXPECT_EQ(value, before);
  fs::remove_all(root);
}

// A type that nobody knows with the tensors of a family that is known.
TEST(UnknownType, IsRunAsTheFamilyThatItIs) {
  const ModelCopy copy("hesse-unknown");
  copy.set_config("model_type", "\"llamoid\"");
  const auto message = [&](const std::string& as) -> std::string {
    try {
      return inspect({.model = copy.model().string(), .as = as}).family;
    } catch (const Error& error) {
      return error.what();
    }
  };
  EXPECT_THAT(message(""),
              testing::AllOf(testing::HasSubstr("architecture 'llamoid' is not supported"),
                             testing::HasSubstr("its tensors are those of llama"), testing::HasSubstr("--as llama")));
  EXPECT_EQ(message("llama"), "llama");
  EXPECT_EQ(message("mistral"), "mistral");
  EXPECT_THAT(message("llamoid"), testing::HasSubstr("as is 'llamoid'; there is no such family"));
  EXPECT_THAT(message("gpt2"), testing::Not("gpt2"));  // its tensors are others

  CheckOptions options;
  options.quantize.model = copy.model().string();
  options.quantize.as = "llama";
  Listener listener;
  const CheckResult result = check(options, listener);
  const auto about_family = [](const Finding& finding) { return finding.check == "config.family"; };
  const auto warning = std::find_if(result.findings.begin(), result.findings.end(), about_family);
  ASSERT_NE(warning, result.findings.end());
  EXPECT_EQ(warning->severity, Severity::kWarning);
  EXPECT_THAT(warning->what, testing::HasSubstr("taken for 'llama', although config.json says \"llamoid\""));
}

// Names of a family with a norm too many: near, but not that.
TEST(UnknownType, TellsWhatItIsNear) {
  const ModelCopy copy("hesse-near");
  copy.set_config("model_type", "\"llamoid\"");
  copy.rewrite([](std::vector<StoredTensor>& tensors) {
    std::vector<StoredTensor> more;
    for (StoredTensor tensor : tensors) {
      if (tensor.spec.name.find("input_layernorm") == std::string::npos) continue;
      tensor.spec.name.replace(tensor.spec.name.find("input_layernorm"), 15, "third_layernorm");
      more.push_back(tensor);
    }
    tensors.insert(tensors.end(), more.begin(), more.end());
  });
  try {
    inspect({.model = copy.model().string()});
    FAIL() << "accepted";
  } catch (const Error& error) {
    EXPECT_THAT(error.what(), testing::HasSubstr("nearest by its tensors: llama (89 %"));
  }
}

TEST(KnownFamilies, AreListedWithWhatSharesAnInput) {
  std::map<std::string, FamilyInfo> known;
  for (const FamilyInfo& family : known_families()) known[family.name] = family;
  EXPECT_EQ(known.size(), families().size() + wrappers().size());
  EXPECT_THAT(known["phi"].sharing.front(),
              testing::ElementsAre("self_attn.q_proj", "self_attn.k_proj", "self_attn.v_proj", "mlp.fc1"));
  EXPECT_THAT(known["gemma3"].model_types, testing::ElementsAre("gemma3"));
  EXPECT_THAT(to_json(known_families()), testing::HasSubstr("\"schema\": \"hesse-families/1\""));
}

// What the table says of the references is what made them.
TEST(KnownFamilies, AreTestedWithWhatTheySay) {
  for (const fs::path& directory : reference_models()) {
    const Json made = Json::parse(read_text_file(directory / "reference.json"), "reference.json");
    const Family& family = *parse_model_config(read_config_json(directory), "t").family;
    const Json* version = made.find("transformers");
    EXPECT_EQ(family.tested_with,
              version != nullptr ? "transformers " + version->as_string("t") : made.find("by")->as_string("t"))
        << directory;
  }
}

}  // namespace
}  // namespace hesse
