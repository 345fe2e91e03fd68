// Where bits do the most good: one candidate for each unit of a model, so that the whole has the least predicted damage
// at a given size.
#pragma once

#include <cstdint>
#include <string>
#include <vector>

#include "quant/spec.h"

namespace hesse {

struct Candidate {
  LinearSpec spec = {};
  double damage = 0;  // predicted increase of the KL divergence at the output, nats a token
};

// Linears that have to have the same spec: engines make one of them, or read them in one kernel.
struct MeasuredUnit {
  struct Member {
    std::string linear;
    int64_t out = 0;
    int64_t in = 0;
  };
  std::vector<Member> members;
  std::vector<Candidate> candidates;

  double weights() const;                     // of all members
  double bits(const LinearSpec& spec) const;  // codes, 16 bits a scale, and zero points
};

// Bits per weight of all units together.
struct BitsRange {
  double least = 0;
  double most = 0;
};
BitsRange reachable_bits(const std::vector<MeasuredUnit>& units);

// For every unit the index of its candidate. The sum of the damages is the least of all choices with at most
// `bits_per_weight` over all units (a multiple-choice knapsack, solved exactly but for rounding up the size of every
// unit by at most 2^-20 of the whole). Deterministic. Error(kUsage) names the range when the target lies below it.
std::vector<size_t> allocate_bits(const std::vector<MeasuredUnit>& units, double bits_per_weight);

}  // namespace hesse
