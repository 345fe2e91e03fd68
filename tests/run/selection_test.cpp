// Runs about a part of the linears: some layers, some linears of an earlier result, a trial.
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "io/checkpoint.h"
#include "run/resume_testing.h"

namespace hesse {
namespace {

namespace fs = std::filesystem;
using testing::Contains;
using testing::HasSubstr;

std::string bytes_of(const TensorView& tensor) {
  return {reinterpret_cast<const char*>(tensor.bytes.data()), tensor.bytes.size()};
}

// `text`, the third byte of the first `part` in it changed.
std::string with_another_bit(std::string text, const std::string& part) {
  char& byte = text.at(text.find(part) + 2);
  byte = static_cast<char>(byte ^ 1);
  return text;
}

class Selection : public Resume {
 protected:
  RunRecord run_layers(const std::string& layers, const std::vector<std::string>& redo = {}) {
    QuantizeOptions o = options("");
    o.layers = layers;
    o.redo = redo;
    return run(o);
  }
  std::string out(const char* file) const { return get_file(folder_ / "out" / file); }
  // Bytes of all tensors of the result, by name.
  std::map<std::string, std::string> tensors() const {
    const Checkpoint checkpoint(folder_ / "out");
    std::map<std::string, std::string> bytes;
    for (const TensorView* tensor : checkpoint.tensors()) {
      bytes[tensor->spec.name] = bytes_of(*tensor);
    }
    return bytes;
  }
};

// A later layer is solved against what is kept of the earlier ones, so it comes out as in one run.
TEST_F(Selection, LayersOneAfterTheOtherGiveTheWholeRun) {
  run(options(""));
  const std::string tensors = out("model.safetensors"), config = out("config.json");
  clear("");
  const RunRecord first = run_layers("0");
  EXPECT_EQ(listener_.solved, 7);
  EXPECT_EQ(first.linears.size(), 7u);
  EXPECT_NE(out("model.safetensors"), tensors);
  const RunRecord second = run_layers("1", {"*"});
  EXPECT_EQ(listener_.solved, 7);
  EXPECT_EQ(out("model.safetensors"), tensors);
  EXPECT_EQ(out("config.json"), config);
  ASSERT_EQ(second.linears.size(), 14u);
  for (size_t i = 0; i < 14; ++i) EXPECT_EQ(second.linears[i].layer, static_cast<int64_t>(i / 7));
  EXPECT_EQ(second.linears[0].loss, first.linears[0].loss);
  EXPECT_LT(first.work.total() + 1, second.work.total());  // it goes through the first layer too
}

TEST_F(Selection, WhatIsNotChosenStaysAsItIs) {
  run(options(""));
  const double all = static_cast<double>(fs::file_size(folder_ / "out/model.safetensors"));
  clear("");
  const RunRecord record = run_layers("1");
  for (const LinearRecord& linear : record.linears) EXPECT_EQ(linear.layer, 1) << linear.name;
  EXPECT_EQ(record.linears.size(), 7u);
  EXPECT_GT(static_cast<double>(fs::file_size(folder_ / "out/model.safetensors")), all);
  const auto bytes = tensors();
  const Checkpoint model(folder_ / "model");
  for (const TensorView* tensor : model.tensors()) {
    const std::string& name = tensor->spec.name;
    const bool chosen = name.find("layers.1.") != std::string::npos && name.find("_proj") != std::string::npos;
    EXPECT_EQ(bytes.count(name), chosen ? 0u : 1u) << name;
    if (chosen) continue;
    EXPECT_EQ(bytes.at(name), bytes_of(*tensor));
  }
  EXPECT_THAT(out("config.json"), HasSubstr("dynamic"));
  EXPECT_THAT(out("config.json"), HasSubstr("model.layers.1.mlp.down_proj"));
  EXPECT_THAT(out("config.json"), Not(HasSubstr("model.layers.0.mlp.down_proj")));
}

TEST_F(Selection, ARedoChangesNothingElse) {
  run(options(""));
  const auto before = tensors();
  QuantizeOptions o = options("");
  o.redo = {"*.v_proj", "model.layers.1.mlp.down_proj"};
  o.damping = 0.2;
  o.overwrite = false;
  const RunRecord record = run(o);
  EXPECT_EQ(listener_.solved, 3);
  EXPECT_EQ(record.linears.size(), 14u);
  const auto behind = tensors();
  ASSERT_EQ(behind.size(), before.size());
  for (const auto& [name, bytes] : before) {
    const bool redone = name.find("v_proj") != std::string::npos || name.find("1.mlp.down_proj") != std::string::npos;
    if (!redone) {
      EXPECT_EQ(behind.at(name), bytes) << name;
    } else if (name.ends_with("scales")) {
      EXPECT_NE(behind.at(name), bytes) << name;
    }
  }
  for (const LinearRecord& linear : record.linears) {
    const bool redone = linear.name.ends_with("v_proj") || linear.name == "model.layers.1.mlp.down_proj";
    EXPECT_EQ(linear.damping, redone ? 0.2 : 0.01) << linear.name;
  }
}

TEST_F(Selection, TheSameAgainGivesTheSame) {
  const auto expected = whole("");
  run_layers("", {"*"});
  EXPECT_EQ(out("model.safetensors"), expected.at("model.safetensors"));
  run_layers("0", {"*.q_proj", "*.o_proj"});
  EXPECT_EQ(out("model.safetensors"), expected.at("model.safetensors"));
}

TEST_F(Selection, IsStoppedAndGoesOn) {
  for (const char* flags : {"d", "ds"}) {
    const auto expected = whole(flags);
    clear(flags);
    run_and_stop(options(flags), 1, flags);
    EXPECT_EQ(listener_.solved, 3);
    run_and_stop(options(flags), 3, flags);
    EXPECT_EQ(listener_.resumed.linears, 3);
    EXPECT_EQ(listener_.resumed.of, 7);
    run(options(flags), flags);
    expect_result(expected);
  }
}

TEST_F(Selection, AnotherResultInBetweenIsSeen) {
  clear("d");
  run_and_stop(options("d"), 1);
  QuantizeOptions other = small_options(folder_ / "model", folder_ / "other");
  other.seed = 9;
  other.damping = 0.3;
  run(other);
  fs::remove_all(folder_ / "out");
  fs::rename(folder_ / "other", folder_ / "out");
  EXPECT_THAT(message_of(ErrorKind::kUsage, [&] { run(options("d")); }),
              HasSubstr("the result that is changed is another one"));
}

TEST_F(Selection, RoundingKnowsLayersToo) {
  run(options("r"));
  const std::string tensors = out("model.safetensors");
  clear("");
  QuantizeOptions o = options("r");
  o.layers = "1";
  EXPECT_EQ(run(o).linears.size(), 7u);
  o.layers = "0";
  o.redo = {"*"};
  EXPECT_EQ(run(o).linears.size(), 14u);
  EXPECT_EQ(out("model.safetensors"), tensors);
}

TEST_F(Selection, RefusesAResultThatDoesNotFit) {
  const auto refusal = [&](auto change) {
    QuantizeOptions o = options("d");
    change(o);
    return message_of(ErrorKind::kUsage, [&] { run(o); });
  };
  EXPECT_THAT(refusal([](auto&) {}), HasSubstr("no result to change: no hesse-run.json"));
  run(options(""));
  const auto before = result_of(folder_ / "out");
  EXPECT_THAT(
      refusal([](auto& o) {
        o.bits = 8;
        o.redo = {"*.k_proj"};
      }),
      HasSubstr("q_proj' would have 4 bits, group size 16, symmetric, 'model.layers.0.self_attn.k_proj' 8 bits"));
  EXPECT_THAT(refusal([](auto& o) { o.symmetric = false; }), HasSubstr("in format gptq, this run writes gptq_v2"));
  EXPECT_THAT(refusal([](auto& o) { o.redo = {"nothing"}; }), HasSubstr("no linear is called 'nothing'"));
  EXPECT_THAT(refusal([](auto& o) { o.layers = "2"; }), HasSubstr("the model has the layers 0 to 1, not 2"));
  const fs::path file = folder_ / "model/model.safetensors";
  const std::string weights = get_file(file);
  for (const char* name : {"model.norm.weight", "model.embed_tokens.weight"}) {
    SCOPED_TRACE(name);
    put_file(file, with_another_bit(weights, bytes_of(Checkpoint(folder_ / "model").at(name))));
    EXPECT_THAT(refusal([](auto&) {}), HasSubstr(".weight' is not that of the model; it was made from another one"));
  }
  EXPECT_EQ(result_of(folder_ / "out"), before);
}

TEST_F(Selection, ATrialForetellsAndLeavesNothing) {
  QuantizeOptions o = options("");
  o.trial = true;
  const RunRecord record = run(o);
  ASSERT_TRUE(record.forecast.has_value());
  EXPECT_THAT(record.forecast->layers, testing::ElementsAre(0, 1));
  EXPECT_GT(record.forecast->seconds, 0);
  EXPECT_GE(record.forecast->peak_memory_bytes, record.predicted_peak_memory_bytes);
  EXPECT_EQ(record.linears.size(), 14u);
  EXPECT_TRUE(left_over().empty());
  o.layers = "1";
  o.output.clear();
  EXPECT_THAT(run(o).forecast->layers, testing::ElementsAre(1));
  o.output = (folder_ / "out").string();
  listener_ = Counter();
  listener_.stop_after = 1;
  EXPECT_THROW(quantize_with(o, listener_, {}), Error);
  EXPECT_TRUE(left_over().empty());
}

}  // namespace
}  // namespace hesse
