// A few tokens through the model before a run of hours: does it know the text that its tokenizer makes?
#include "eval/trial.h"

#include <fmt/format.h>

#include <algorithm>
#include <cmath>
#include <string>
#include <utility>
#include <vector>

#include "api/prepare.h"
#include "data/special_tokens.h"
#include "hesse/error.h"

namespace hesse {
namespace {

constexpr int64_t kTrialTokens = 256;
constexpr double kLongestSeconds = 60;  // a trial that would take longer is left out, unless asked for
// Of ln(vocabulary), nats: models on text they know stay below a half, shuffled tokens come to the whole and above.
constexpr double kMostOfUniform = 0.85;
constexpr double kBosGain = 0.1;  // nats a token, from which on a missing BOS is worth a warning

constexpr const char* kSentences =
    "The river rises in the hills above the town and reaches the sea after about forty miles. Most of the people who "
    "live along its banks work on farms or in small shops, and many of their children go to school by bus. In spring "
    "the water is high and cold, and the old bridge has to be closed for a few days. Last year the council decided to "
    "build a new one, but nobody could agree on who should pay for it. \"We have waited long enough,\" said the woman "
    "who runs the bakery near the station. \"When the road is closed, I lose half of my customers.\" The engineer "
    "explained that the work would take two summers, because the ground on the northern side is soft. He showed a "
    "drawing with three arches, each wide enough for a boat. After a short discussion, all but two members voted in "
    "favour of the plan. It was already dark when the meeting ended, and it had begun to rain. What would you have "
    "done in their place? A good bridge lasts for a hundred years, and a bad one is remembered for even longer.";

using Sequences = std::vector<std::vector<int32_t>>;

// Windows of the calibration text, or of our own sentences: as many as make kTrialTokens, without BOS.
Sequences text_of(const Prepared& prepared, bool built_in) {
  Sequences sequences;
  if (built_in) {
    std::vector<int32_t> ids = prepared.tokenizer->encode(kSentences, Tokenizer::SpecialTokens::kNone);
    ids.resize(std::min<size_t>(ids.size(), static_cast<size_t>(std::min(kTrialTokens, prepared.job.options.length))));
    return {std::move(ids)};
  }
  const Windows& windows = *prepared.job.windows;
  const int64_t length = std::min(kTrialTokens, windows.length() - windows.bos);
  for (int64_t row = 0; row < std::min(windows.count(), std::max<int64_t>(1, kTrialTokens / length)); ++row) {
    const int32_t* first = windows.ids.row(row) + windows.bos;
    sequences.emplace_back(first, first + length);
  }
  return sequences;
}

double mean(const std::vector<double>& losses, size_t first, size_t count) {
  double sum = 0;
  for (size_t i = first; i < first + count; ++i) sum += losses[i];
  return sum / static_cast<double>(count);
}

class Trial {
 public:
  Trial(Prepared& prepared, const Depth& depth, Listener& listener)
      : prepared_(prepared), depth_(depth), ticker_(listener, "trying the model") {
    expects_bos_ = !prepared.bos && hesse::expects_bos(prepared.job.model_directory, *prepared.tokenizer);
  }

  bool expects_bos() const { return expects_bos_; }

  // Empty: it would take too long, or there is too little text.
  std::optional<TrialFacts> run(bool built_in) {
    const bool begins_with_bos = prepared_.bos;
    Sequences plain = text_of(prepared_, built_in);
    if (plain.front().size() < 2 || !in_vocabulary(plain)) return std::nullopt;
    Sequences all = begins_with_bos ? after_bos(plain) : plain;
    if (expects_bos_) {
      for (auto& sequence : after_bos(plain)) all.push_back(std::move(sequence));
    }
    const auto progress = [&](double share) {
      ticker_.tick(share);
      seconds_expected_ = ticker_.seconds() / share;
      return depth_.trial_at_any_cost || seconds_expected_ <= kLongestSeconds;
    };
    const Job& job = prepared_.job;
    const std::vector<double> losses = trial_losses(*job.model, *job.source, all, progress);
    if (losses.empty()) return std::nullopt;
    TrialFacts facts;
    facts.text = built_in ? "built-in" : "calibration";
    facts.predictions = static_cast<int64_t>(plain.size() * (plain.front().size() - 1));
    facts.nll = mean(losses, 0, plain.size());
    if (expects_bos_) facts.nll_bos = mean(losses, plain.size(), plain.size());
    facts.uniform = std::log(static_cast<double>(job.model->config().vocab));
    facts.seconds = ticker_.seconds();
    return facts;
  }

  double seconds_expected() const { return seconds_expected_; }

 private:
  // The same lengths, the last token giving way to BOS.
  Sequences after_bos(const Sequences& plain) const {
    Sequences result = plain;
    for (auto& sequence : result) {
      sequence.insert(sequence.begin(), prepared_.tokenizer->bos_id());
      sequence.pop_back();
    }
    return result;
  }
  bool in_vocabulary(const Sequences& sequences) const {
    const int64_t vocab = prepared_.job.model->config().vocab;
    return std::all_of(sequences.begin(), sequences.end(), [&](const std::vector<int32_t>& sequence) {
      return std::all_of(sequence.begin(), sequence.end(), [&](int32_t id) { return id < vocab; });
    });
  }

  Prepared& prepared_;
  const Depth& depth_;
  Ticker ticker_;
  bool expects_bos_ = false;
  double seconds_expected_ = 0;
};

// A model may need BOS to work at all: what counts is the better of both.
bool knows_text(const TrialFacts& facts) {
  const double bound = kMostOfUniform * facts.uniform;
  return facts.nll <= bound || (facts.nll_bos >= 0 && facts.nll_bos <= bound);
}

// Two digits behind the point, unless a damaged model makes it astronomical.
std::string nats(double value) { return value < 1e4 ? fmt::format("{:.2f}", value) : fmt::format("{:.1e}", value); }

std::string evidence(const TrialFacts& facts) {
  return fmt::format("{} nats a token on {} tokens of {} text, where knowing nothing gives {}",
                     nats(facts.nll_bos >= 0 ? std::min(facts.nll, facts.nll_bos) : facts.nll), facts.predictions,
                     facts.text, nats(facts.uniform));
}

// Whether the model knows what the tokenizer makes of text, be it of another kind than the calibration's.
bool judge(Trial& trial, Prepared& prepared) {
  const TrialFacts facts = *prepared.trial;
  Findings& findings = prepared.findings;
  const char* const id = "tokenizer.trial";
  if (knows_text(facts)) {
    findings.good(id, "the model knows its tokens: " + evidence(facts));
    return true;
  }
  if (facts.text == "calibration") {
    if (const std::optional<TrialFacts> english = trial.run(true); english && knows_text(*english)) {
      findings.warning(id,
                       "the model does not know this calibration text: " + evidence(facts) + "; " + evidence(*english),
                       "the solver would fit what the model never does", "take text of the kind that the model is for");
      return true;
    }
  }
  findings.error(Error(ErrorKind::kBadInput, "[tokenizer] the model does not know the tokens of its tokenizer: " +
                                                 evidence(facts) + "; does this tokenizer belong to the model?"),
                 {id, "no text makes sense to a model with another's tokenizer, and a calibration on it is noise",
                  "take tokenizer.json and the weights from the same place; --no-check goes on without this trial"});
  return false;
}

void judge_bos(const Prepared& prepared, Findings& findings) {
  const char* const id = "tokenizer.add-bos";
  const std::string token = prepared.tokenizer->token(prepared.tokenizer->bos_id());
  const std::string what = fmt::format("the tokenizer begins every text with BOS ('{}'), the windows do not", token);
  const char* const remedy = "add --bos auto";
  if (!prepared.trial) {
    findings.warning(id, what, "a model that was trained with BOS may do badly without it", remedy);
    return;
  }
  const TrialFacts& trial = *prepared.trial;
  const std::string both = fmt::format("{} nats a token without it, {} with it", nats(trial.nll), nats(trial.nll_bos));
  if (trial.nll - trial.nll_bos > kBosGain) {
    findings.warning(id, what + "; " + both, "the solver would fit what the model does when it is lost", remedy);
  } else {
    findings.note(id, what + "; " + both, "it makes little difference to this model", "");
  }
}

bool has_bad_weights(const Findings& findings) {
  return std::any_of(findings.list().begin(), findings.list().end(), [](const Finding& finding) {
    return finding.check == "weights.finite" && finding.severity == Severity::kError;
  });
}

}  // namespace

void run_trial(Prepared& prepared, const Depth& depth, Listener& listener) {
  const Job& job = prepared.job;
  Findings& findings = prepared.findings;
  if (job.model == nullptr || !prepared.tokenizer) return;
  Trial trial(prepared, depth, listener);
  const Advice advice = {"weights.finite", "one such value makes every activation behind it useless",
                         "fetch the file again, or go on without this linear: --on-nonfinite skip-module"};
  bool belongs = true;
  if (!job.options.check || has_bad_weights(findings)) {
    findings.note("tokenizer.trial", "the model was not tried on text", "", "");
  } else if (findings.attempt(advice, [&] { prepared.trial = trial.run(!job.windows); })) {
    if (prepared.trial) {
      belongs = judge(trial, prepared);
    } else {
      findings.note(
          "tokenizer.trial",
          trial.seconds_expected() > 0
              ? fmt::format("the model was not tried on text: that would take about {:.0f} s, more than {:.0f}",
                            trial.seconds_expected(), kLongestSeconds)
              : "the model was not tried on text: there is none whose tokens all have an embedding",
          "", "`hesse check --deep` tries it");
    }
  }
  if (belongs && trial.expects_bos() && (job.windows || prepared.trial)) judge_bos(prepared, findings);
}

}  // namespace hesse
