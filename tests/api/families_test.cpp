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
  std::vector<std::string> linears() const {
    const Json made = Json::parse(read_text_file(GetParam() / "reference.json"), "reference.json");
    std::vector<std::string> names;
    for (const Json& name : made.find("linears")->as_array("linears")) names.push_back(name.as_string("linears"));
    return names;
  }

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
