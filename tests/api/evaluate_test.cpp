// `eval` and `compare` as the library offers them, on the demo model and a coarser copy of it.
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <cmath>
#include <filesystem>
#include <string>

#include "hesse/api.h"
#include "io/file.h"
#include "io/json.h"
#include "model_copy.h"

namespace hesse {
namespace {

namespace fs = std::filesystem;
using testing::HasSubstr;

const std::string kDemo = std::string(HESSE_SOURCE_DIR) + "/models/tiny-llama";

class Evaluate : public testing::Test {
 protected:
  // The demo, and a copy of it in which the weights of one layer lose five of their bits.
  static void SetUpTestSuite() {
    copy_ = new ModelCopy("evaluate");
    copy_->rewrite([](std::vector<StoredTensor>& tensors) {
      for (StoredTensor& tensor : tensors) {
        if (tensor.spec.name.find("layers.1.") == std::string::npos || tensor.spec.shape.size() != 2) continue;
        // The lower byte of a 16-bit float, and one bit of the mantissa above it.
        for (size_t i = 0; i + 1 < tensor.bytes.size(); i += 2) {
          tensor.bytes[i] = 0;
          tensor.bytes[i + 1] = static_cast<char>(tensor.bytes[i + 1] & 0xFE);
        }
      }
    });
  }
  static void TearDownTestSuite() { delete copy_; }

  static std::string coarse() { return copy_->model().string(); }
  static std::string in_folder(const std::string& name) { return copy_->file(name).string(); }
  static std::string put(const std::string& name, const std::string& text) {
    remove_file(in_folder(name));
    write_text_file(in_folder(name), text);
    return in_folder(name);
  }

  EvalOptions options(const std::string& model) const {
    EvalOptions o;
    o.model = model;
    o.text = {kDemo + "/heldout.txt"};
    o.window = 64;
    o.windows = 8;
    return o;
  }
  std::string refusal(const EvalOptions& o) {
    try {
      evaluate(o, quiet_);
    } catch (const Error& error) {
      EXPECT_EQ(std::string(error.what()).find('\n'), std::string::npos);
      return error.what();
    }
    return "accepted";
  }

  Listener quiet_;

 private:
  static ModelCopy* copy_;
};
ModelCopy* Evaluate::copy_ = nullptr;

void expect_same(const EvalResult& a, const EvalResult& b) {
  EXPECT_EQ(a.perplexity, b.perplexity);
  EXPECT_EQ(a.interval->low, b.interval->low);
  EXPECT_EQ(a.against->perplexity, b.against->perplexity);
  EXPECT_EQ(a.against->kl, b.against->kl);
  EXPECT_EQ(a.against->kl_p99, b.against->kl_p99);
  EXPECT_EQ(a.against->top1_agreement, b.against->top1_agreement);
  EXPECT_EQ(a.against->ratio_interval->high, b.against->ratio_interval->high);
}

// One model against another, a table of both, and a reference from a file: the same numbers to the last bit.
TEST_F(Evaluate, AllWaysToAReferenceAgree) {
  EvalOptions o = options(coarse());
  o.against = kDemo;
  const EvalResult direct = evaluate(o, quiet_);
  EXPECT_EQ(direct.against->name, "tiny-llama");
  EXPECT_GT(direct.against->kl, 0);
  EXPECT_TRUE(direct.bos);  // as the tokenizer of the demo has it

  o = options(kDemo);
  o.others = {coarse(), kDemo};
  const EvalResult table = evaluate(o, quiet_);
  ASSERT_EQ(table.others.size(), 2u);
  EXPECT_FALSE(table.against);
  EXPECT_EQ(table.perplexity, direct.against->perplexity);
  expect_same(table.others[0], direct);
  EXPECT_EQ(table.others[1].against->kl, 0);

  o = options(kDemo);
  o.save_reference = in_folder("kept.ref");
  EXPECT_EQ(evaluate(o, quiet_).perplexity, table.perplexity);
  o = options(coarse());
  o.against = in_folder("kept.ref");
  const EvalResult kept = evaluate(o, quiet_);
  EXPECT_EQ(kept.against->name, "tiny-llama");
  expect_same(kept, direct);
  o.windows = 5;  // the beginning of what is kept
  EXPECT_GT(evaluate(o, quiet_).against->kl, 0);
}

TEST_F(Evaluate, AReferenceOfOtherWindowsIsRefused) {
  EvalOptions o = options(kDemo);
  o.save_reference = in_folder("other.ref");
  evaluate(o, quiet_);
  EXPECT_THAT(refusal(o), HasSubstr("exists; remove it"));
  o = options(coarse());
  o.against = in_folder("other.ref");
  o.window = 32;
  EXPECT_THAT(refusal(o), HasSubstr("give --window 64 --bos always"));
  o.window = 64;
  o.bos = "never";
  EXPECT_THAT(refusal(o), HasSubstr("without BOS, but it was made of"));
  o = options(coarse());
  o.against = in_folder("other.ref");
  o.windows = 9;
  EXPECT_THAT(refusal(o), HasSubstr("9 windows are asked for, it has 8; give --windows 8"));
  o.windows = 8;
  o.text = {kDemo + "/calibration.txt"};
  EXPECT_THAT(refusal(o), HasSubstr("made of another text"));
  o = options(coarse());
  o.against = in_folder("other.ref");
  o.attribute = true;
  EXPECT_THAT(refusal(o), HasSubstr("blocks are taken from a model"));
}

TEST_F(Evaluate, DamagedReferencesAreRefused) {
  EvalOptions o = options(kDemo);
  o.save_reference = in_folder("whole.ref");
  evaluate(o, quiet_);
  const std::string whole = read_text_file(in_folder("whole.ref"));
  EvalOptions read = options(coarse());
  read.against = put("damaged.ref", whole.substr(0, whole.size() - 100));
  EXPECT_THAT(refusal(read), HasSubstr("damaged.ref"));
  read.against = kDemo + "/model.safetensors";
  EXPECT_THAT(refusal(read), HasSubstr("'about' is missing; is it a file that --save-reference made?"));
  std::string other = whole;
  const size_t at = other.find("hesse-reference/1");
  ASSERT_NE(at, std::string::npos);
  other[at + 16] = '7';
  read.against = put("damaged.ref", other);
  EXPECT_THAT(refusal(read), HasSubstr("schema 'hesse-reference/7'"));
  read.against = put("damaged.ref", "no safetensors at all");
  EXPECT_THAT(refusal(read), HasSubstr("damaged.ref"));
}

TEST_F(Evaluate, TheCoarseLayerIsFound) {
  EvalOptions o = options(coarse());
  o.against = kDemo;
  o.windows = 2;
  o.attribute = true;
  const EvalResult result = evaluate(o, quiet_);
  for (const BlockEffect& block : result.blocks) EXPECT_NEAR(block.share, block.layer == 1 ? 1 : 0, 1e-5);
  EXPECT_FALSE(result.blocks.empty());
  EXPECT_FALSE(result.against->kl_interval);  // of 2 windows
}

TEST_F(Evaluate, LikeThePapers) {
  EvalOptions o = options(kDemo);
  o.window = EvalOptions().window;
  o.windows = 1;
  o.like_gptq = true;
  const EvalResult result = evaluate(o, quiet_);
  EXPECT_EQ(result.window, 2048);
  EXPECT_EQ(result.predictions, 2047);
  EXPECT_FALSE(result.bos);
}

// A copy whose tokenizer puts two tokens in each other's place.
TEST_F(Evaluate, AnotherTokenizerIsWarnedOf) {
  class Warnings : public Listener {
   public:
    void on_warning(std::string_view text) override { all += text; }
    std::string all;
  };
  const ModelCopy other("evaluate-tokens");
  std::string tokenizer = read_text_file(other.model() / "tokenizer.json");
  const size_t e = tokenizer.find("\"e\":"), t = tokenizer.find("\"t\":");
  ASSERT_NE(e, std::string::npos);
  ASSERT_NE(t, std::string::npos);
  std::swap(tokenizer[e + 1], tokenizer[t + 1]);
  other.put("model/tokenizer.json", tokenizer);
  EvalOptions o = options(kDemo);
  o.others = {other.model().string()};
  Warnings warnings;
  evaluate(o, warnings);
  EXPECT_THAT(warnings.all, HasSubstr("makes other tokens of this text than that of tiny-llama"));
  o.others = {coarse()};
  Warnings none;
  evaluate(o, none);
  EXPECT_EQ(none.all, "");
}

// Questions whose right answer is what stands in the text against the same letters shuffled: a model knows.
TEST_F(Evaluate, TasksAreScoredByLikelihood) {
  EvalOptions o;
  o.model = kDemo;
  o.others = {coarse()};
  o.task = {put(
      "task.jsonl",
      R"({"question": "The people of the town", "choices": ["were in the house", "esuoh eht ni erew"], "answer": 0})"
      "\n\n"
      R"({"question": "He went to", "choices": ["xqz vvk jjw", "the door and", "qqp zzx"], "answer": "B"})"
      "\n")};
  const TasksResult result = evaluate_tasks(o, quiet_);
  ASSERT_EQ(result.tasks.size(), 1u);
  const TaskResult& task = result.tasks[0];
  EXPECT_EQ(task.items, 2);
  EXPECT_NEAR(task.chance, (1.0 / 2 + 1.0 / 3) / 2, 1e-12);
  ASSERT_EQ(task.models.size(), 2u);
  EXPECT_EQ(task.models[0].accuracy, 1);
  EXPECT_EQ(task.models[0].accuracy_norm, 1);
  EXPECT_LT(task.models[0].accuracy_interval.low, 0.5);  // two questions say little
  for (const TaskScore& score : task.models) {
    ASSERT_EQ(score.log_likelihoods.size(), 2u);
    EXPECT_EQ(score.log_likelihoods[0].size() + score.log_likelihoods[1].size(), 5u);
    for (const std::vector<double>& item : score.log_likelihoods) {
      for (const double value : item) EXPECT_LT(value, 0);
    }
  }
  o.items = 1;
  EXPECT_EQ(evaluate_tasks(o, quiet_).tasks[0].items, 1);
}

TEST_F(Evaluate, ComparedAnswersAreThoseOfGenerate) {
  CompareOptions o;
  o.model = kDemo;
  o.others = {coarse(), kDemo};
  o.prompts = put("prompts.txt", "The old house\n\nIn the morning\r\nA river\n");
  o.max_tokens = 24;
  o.html = in_folder("page.html");
  const CompareResult result = compare(o, quiet_);
  ASSERT_EQ(result.prompts.size(), 3u);
  EXPECT_EQ(result.prompts[1].prompt, "In the morning");
  bool any_parts = false;
  for (const ComparedPrompt& prompt : result.prompts) {
    GenerateOptions g;
    g.model = coarse();
    g.prompt = prompt.prompt;
    g.max_tokens = 24;
    g.temperature = 0;
    const GenerateResult alone = generate(g, quiet_);
    const ComparedAnswer &first = prompt.answers[0], &other = prompt.answers[1], &same = prompt.answers[2];
    EXPECT_EQ(other.text, alone.text);
    EXPECT_EQ(same.text, first.text);
    EXPECT_EQ(same.parts_at_byte, -1);
    if (other.ids == first.ids) continue;
    any_parts = true;
    const size_t at = static_cast<size_t>(other.parts_at_token);
    EXPECT_TRUE(std::equal(other.ids.begin(), other.ids.begin() + other.parts_at_token, first.ids.begin()));
    EXPECT_NE(other.ids[at], first.ids[at]);
    const size_t byte = static_cast<size_t>(other.parts_at_byte);
    EXPECT_EQ(other.text.substr(0, byte), first.text.substr(0, byte));
  }
  EXPECT_TRUE(any_parts);
  EXPECT_THAT(read_text_file(o.html), HasSubstr("<h2>A river</h2>"));
  EXPECT_THROW(compare(o, quiet_), Error);  // the page exists
}

// A page with names would give the vote away.
TEST_F(Evaluate, ABlindComparisonWritesItsPageWhenItIsTold) {
  CompareOptions o;
  o.model = kDemo;
  o.others = {kDemo};
  o.prompts = put("prompts.txt", "The old house\n");
  o.max_tokens = 2;
  o.html = in_folder("blind.html");
  o.blind = true;
  CompareResult result = compare(o, quiet_);
  EXPECT_FALSE(std::filesystem::exists(o.html));
  result.votes = {0, 1};
  write_page(result, o.html);
  EXPECT_THAT(read_text_file(o.html), HasSubstr("Votes, given without knowing the names: 0 for tiny-llama, 1 for"));
  EXPECT_THROW(write_page(result, o.html), Error);
}

TEST_F(Evaluate, PromptsThatCannotBeUsedAreRefused) {
  CompareOptions o;
  o.model = kDemo;
  o.others = {kDemo};
  const auto refused = [&](const std::string& name, const std::string& text) {
    o.prompts = put(name, text);
    try {
      compare(o, quiet_);
    } catch (const Error& error) {
      return std::string(error.what());
    }
    return std::string("accepted");
  };
  EXPECT_THAT(refused("p.txt", " \n\n"), HasSubstr("p.txt: no prompts"));
  EXPECT_THAT(refused("p.jsonl", "{\"text\": \"a\"}\n"), HasSubstr("p.jsonl: line 1: no 'prompt'"));
  EXPECT_THAT(refused("p.jsonl", "{\"prompt\": 3}\n"), HasSubstr("expected"));
  EXPECT_THAT(refused("p.jsonl", "\n{\n"), HasSubstr("line 2"));
}

}  // namespace
}  // namespace hesse
