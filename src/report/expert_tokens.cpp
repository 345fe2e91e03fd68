// How the calibration text fell to the experts.
#include <algorithm>

#include "hesse/events.h"

namespace hesse {

std::vector<ExpertTokens> expert_tokens(const RunRecord& record) {
  std::vector<ExpertTokens> layers;
  for (const LinearRecord& linear : record.linears) {
    if (linear.expert < 0) continue;
    if (layers.empty() || layers.back().layer != linear.layer) layers.push_back({linear.layer, {}});
    std::vector<int64_t>& tokens = layers.back().tokens;
    const auto expert = static_cast<size_t>(linear.expert);
    if (tokens.size() <= expert) tokens.resize(expert + 1, -1);
    tokens[expert] = std::max(tokens[expert], linear.tokens);
  }
  return layers;
}

}  // namespace hesse
