// The head of a model as one more linear of a run.
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <algorithm>
#include <cmath>

#include "api/open_model.h"
#include "hesse/api.h"
#include "io/checkpoint.h"
#include "model/model.h"
#include "run/resume_testing.h"

namespace hesse {
namespace {

namespace fs = std::filesystem;
using testing::HasSubstr;
using testing::IsEmpty;
using testing::Not;

constexpr const char* kHead = "lm_head";

class PackedHead : public Resume {
 protected:
  void SetUp() override { SmallModel::make(folder_ / "model", 272); }

  QuantizeOptions with_head(int bits, const std::string& flags = "") const {
    QuantizeOptions o = options(flags);
    o.lm_head = bits;
    return o;
  }
  const LinearRecord& head_of(const RunRecord& record) const { return record.linears.back(); }
  std::string out() const { return (folder_ / "out").string(); }
  Matrix<float> stored_head() const {
    return std::move(open_model(out()).source->linear_as(ComputeType::kF32, kHead).f32());
  }
  std::vector<std::string> errors() {
    std::vector<std::string> errors;
    for (const Finding& finding : verify({.model = out()}, listener_).findings) {
      if (finding.severity == Severity::kError) errors.push_back(finding.check + ": " + finding.what);
    }
    return errors;
  }
  std::string why_not(const QuantizeOptions& o) {
    return message_of(ErrorKind::kUsage, [&] { run(o); });
  }
};

Json quantization_of(const fs::path& directory) {
  return *Json::parse(read_text_file(directory / "config.json"), "config.json").find("quantization_config");
}

// Mean square of the logits' change on random streams, as a share of the logits.
double change_of_logits(const fs::path& original, const fs::path& result) {
  const OpenModel a = open_model(original), b = open_model(result);
  Rng rng(11);
  Matrix<float> h(64, SmallModel::kHidden);
  for (int64_t i = 0; i < h.size(); ++i) h.data()[i] = static_cast<float>(rng.normal());
  const Matrix<float> before = Model::Head(a.config, *a.source, ComputeType::kF32).logits(h.view());
  const Matrix<float> after = Model::Head(b.config, *b.source, ComputeType::kF32).logits(h.view());
  double change = 0, all = 0;
  for (int64_t i = 0; i < before.size(); ++i) {
    const double d = double{before.data()[i]} - double{after.data()[i]};
    change += d * d;
    all += double{before.data()[i]} * double{before.data()[i]};
  }
  return change / all;
}

TEST_F(PackedHead, EveryFormatThatHasAPlaceForItHoldsIt) {
  for (const char* format : {"gptq", "gptq_v2", "compressed-tensors"}) {
    SCOPED_TRACE(format);
    QuantizeOptions o = with_head(8);
    o.format = format;
    const RunRecord record = run(o);
    ASSERT_EQ(std::ssize(record.linears), SmallModel::kLinears + 1);
    EXPECT_EQ(head_of(record).name, kHead);
    EXPECT_EQ(head_of(record).layer, SmallModel::kLayers);
    EXPECT_EQ(head_of(record).bits, 8);
    EXPECT_EQ(head_of(record).out, 272);
    EXPECT_GT(head_of(record).relative_error, 0);
    EXPECT_LT(head_of(record).relative_error, 1e-4);  // 8 bits: (1 / 255)^2, and less by the solver
    EXPECT_GT(head_of(record).held_out_error, 0);
    EXPECT_LT(change_of_logits(folder_ / "model", folder_ / "out"), 1e-3);
    EXPECT_THAT(errors(), IsEmpty());
    EXPECT_EQ(Checkpoint(out()).find("lm_head.weight"), nullptr);
    EXPECT_FALSE(inspect({.model = out()}).tied_head);
    clear("");
  }
}

TEST_F(PackedHead, ConfigurationsSayWhatItIs) {
  run(with_head(8));
  const Json gptq = quantization_of(out());
  EXPECT_TRUE(gptq.find("lm_head")->as_bool("lm_head"));
  EXPECT_EQ(gptq.find("dynamic")->dump(), R"({"+:^lm_head$": {"bits": 8, "group_size": 16, "sym": true}})");
  clear("");
  QuantizeOptions o = with_head(4);
  o.layers = "1";
  run(o);
  const Json part = quantization_of(out());
  EXPECT_TRUE(part.find("lm_head")->as_bool("lm_head"));
  EXPECT_THAT(part.find("modules_in_block_to_quantize")->dump(), Not(HasSubstr(kHead)));
  EXPECT_THAT(part.find("dynamic")->dump(), Not(HasSubstr(kHead)));
  clear("");
  o = with_head(4);
  o.format = "compressed-tensors";
  run(o);
  EXPECT_THAT(quantization_of(out()).find("ignore")->dump(), Not(HasSubstr(kHead)));
  clear("");
  o.lm_head = 0;
  run(o);
  EXPECT_THAT(quantization_of(out()).find("ignore")->dump(), HasSubstr(kHead));
}

// Plain formats hold the numbers that the packed ones stand for.
TEST_F(PackedHead, PlainNumbersAreThoseOfTheCodes) {
  run(with_head(4));
  const Matrix<float> packed = stored_head();
  clear("");
  QuantizeOptions o = with_head(4);
  o.format = "bf16";
  run(o);
  const Matrix<float> plain = stored_head();
  ASSERT_EQ(plain.rows(), packed.rows());
  for (int64_t i = 0; i < packed.size(); ++i)
    ASSERT_EQ(plain.data()[i], bf16_to_float(float_to_bf16(packed.data()[i]))) << i;
}

// The layers do not know of it; what it loses falls with its bits, and solving it is better than rounding it.
TEST_F(PackedHead, StandsBehindTheLayers) {
  const auto codes = [&] {
    const Checkpoint checkpoint(out());
    const TensorView& tensor = checkpoint.at("model.layers.1.mlp.down_proj.qweight");
    return std::vector<std::byte>(tensor.bytes.begin(), tensor.bytes.end());
  };
  run(options(""));
  const std::vector<std::byte> without = codes();
  clear("");
  double before = 1e9;
  for (const int bits : {2, 4, 8}) {
    const RunRecord record = run(with_head(bits));
    EXPECT_EQ(codes(), without);
    EXPECT_LT(head_of(record).loss, before);
    EXPECT_LE(head_of(record).relative_error, head_of(record).rtn_relative_error);
    EXPECT_EQ(head_of(record).status, LinearStatus::kOk);
    before = head_of(record).loss;
    clear("");
  }
}

// Rows are independent of each other given the Hessian: those of one part do not see where the parts are cut.
TEST_F(PackedHead, PartsFitTogether) {
  constexpr int64_t kMore = 64;
  fs::remove_all(folder_ / "model");
  SmallModel::make(folder_ / "model", kHeadRows + kMore);
  const RunRecord record = run(with_head(4));
  EXPECT_EQ(head_of(record).out, kHeadRows + kMore);
  const double cut = change_of_logits(folder_ / "model", folder_ / "out");
  EXPECT_LT(cut, 0.1);
  const OpenModel original = open_model(folder_ / "model"), result = open_model(out());
  const Matrix<float> a = original.source->linear(kHead), b = result.source->linear(kHead);
  const auto error_of_rows = [&](int64_t first, int64_t count) {
    double error = 0, all = 0;
    for (int64_t r = first; r < first + count; ++r) {
      for (int64_t c = 0; c < a.cols(); ++c) {
        error += std::pow(double{a(r, c)} - double{b(r, c)}, 2);
        all += std::pow(double{a(r, c)}, 2);
      }
    }
    return error / all;
  };
  // Both parts to the accuracy of 4 bits: (1 / 15)^2 times a few.
  EXPECT_LT(error_of_rows(0, kHeadRows), 0.05);
  EXPECT_LT(error_of_rows(kHeadRows, kMore), 0.05);
  EXPECT_GT(error_of_rows(kHeadRows, kMore), 0);
}

TEST_F(PackedHead, AnInterruptedRunGoesOn) {
  run(with_head(4));
  const auto expected = result_of(folder_ / "out");
  for (const std::string flags : {"", "s"}) {
    for (const int64_t stop : {SmallModel::kLinears - 1, SmallModel::kLinears}) {
      SCOPED_TRACE(testing::Message() << flags << " " << stop);
      clear("");
      run_and_stop(with_head(4), stop, flags);
      run(with_head(4), flags);
      EXPECT_EQ(listener_.resumed.of, SmallModel::kLinears + 1);
      EXPECT_GT(listener_.resumed.linears, 0);
      expect_result(expected);
    }
  }
}

TEST_F(PackedHead, ARedoKeepsItOrChangesIt) {
  run(with_head(8));
  const Matrix<float> first = stored_head();
  run(options("d"));
  const Matrix<float> kept = stored_head();
  EXPECT_TRUE(std::equal(first.data(), first.data() + first.size(), kept.data()));
  EXPECT_THAT(errors(), IsEmpty());
  const RunRecord record = run(with_head(4, "d"));
  EXPECT_EQ(head_of(record).bits, 4);
  EXPECT_THAT(errors(), IsEmpty());
}

TEST_F(PackedHead, IsConvertedWhereItHasAPlace) {
  run(with_head(4));
  const Matrix<float> before = stored_head();
  const std::string there = (folder_ / "there").string(), back = (folder_ / "back").string();
  convert({.model = out(), .output = there, .format = "compressed-tensors"}, listener_);
  convert({.model = there, .output = back, .format = "gptq"}, listener_);
  EXPECT_TRUE(quantization_of(back).find("lm_head")->as_bool("lm_head"));
  const Matrix<float> after = open_model(back).source->linear(kHead);
  EXPECT_TRUE(std::equal(before.data(), before.data() + before.size(), after.data()));
  EXPECT_THAT(message_of(ErrorKind::kUsage,
                         [&] { convert({.model = out(), .output = there + "2", .format = "awq"}, listener_); }),
              HasSubstr("'lm_head' is packed"));
}

TEST_F(PackedHead, IsRoundedWithoutText) {
  const RunRecord record = run(with_head(8, "r"));
  EXPECT_EQ(head_of(record).name, kHead);
  EXPECT_THAT(errors(), IsEmpty());
  EXPECT_LT(change_of_logits(folder_ / "model", folder_ / "out"), 1e-3);
}

TEST_F(PackedHead, IsRefusedWhereNoEngineReadsIt) {
  EXPECT_THAT(why_not(with_head(3)), HasSubstr("'lm_head' cannot have 3 bits"));  // 272 rows are no multiple of 32
  QuantizeOptions o = with_head(4);
  o.format = "awq";
  EXPECT_THAT(why_not(o), HasSubstr("format awq has no place for it"));
  EXPECT_THAT(why_not(with_head(5)), HasSubstr("lm-head is 5"));
  fs::remove_all(folder_ / "model");
  SmallModel::make(folder_ / "model");
  EXPECT_THAT(why_not(with_head(8)), HasSubstr("config.json ties 'lm_head' to the embedding 'model.embed_tokens'"));
  EXPECT_FALSE(fs::exists(out()));
}

}  // namespace
}  // namespace hesse
