#include "tokenizer/bpe_merge.h"

#include <algorithm>
#include <array>
#include <limits>

#include "base/checked.h"

namespace hesse {
namespace {

constexpr int32_t kGone = -1;

struct Candidate {
  uint64_t order = 0;  // rank, then position of the left symbol: one comparison
  int32_t id = 0;      // what the pair becomes

  Candidate(const Merge& merge, int32_t position)
      : order((static_cast<uint64_t>(merge.rank) << 32) | static_cast<uint32_t>(position)), id(merge.id) {}
  int32_t position() const { return static_cast<int32_t>(order & 0xFFFFFFFF); }
};

// For std::push_heap: the candidate to take first is the greatest.
bool later(const Candidate& a, const Candidate& b) { return a.order > b.order; }

class MergeLoop {
 public:
  MergeLoop(std::vector<int32_t> symbols, const PairTable& merges)
      : symbols_(std::move(symbols)), merges_(merges), size_(narrow<int32_t>(symbols_.size(), "symbols of one piece")) {
    next_.resize(symbols_.size());
    previous_.resize(symbols_.size());
    for (int32_t i = 0; i < size_; ++i) {
      previous_[at(i)] = i - 1;
      next_[at(i)] = i + 1;
    }
  }

  void run() {
    for (int32_t i = 0; i + 1 < size_; ++i) {
      if (const Merge* merge = merges_.find(symbols_[at(i)], symbols_[at(i + 1)])) heap_.emplace_back(*merge, i);
    }
    std::make_heap(heap_.begin(), heap_.end(), later);
    while (!heap_.empty()) {
      std::pop_heap(heap_.begin(), heap_.end(), later);
      const Candidate top = heap_.back();
      heap_.pop_back();
      if (still_holds(top)) join(top);
    }
  }

  void append_to(std::vector<int32_t>& ids, std::vector<size_t>* firsts) const {
    for (size_t i = 0; i < symbols_.size(); ++i) {
      if (symbols_[i] == kGone) continue;
      ids.push_back(symbols_[i]);
      if (firsts != nullptr) firsts->push_back(i);
    }
  }

 private:
  static size_t at(int32_t i) { return static_cast<size_t>(i); }

  // A neighbour may have been joined since. The reference asks only whether the pair of now becomes the same token, not
  // whether it has the same rank; so do we.
  bool still_holds(const Candidate& candidate) const {
    const int32_t left = symbols_[at(candidate.position())];
    const int32_t right_position = next_[at(candidate.position())];
    if (left == kGone || right_position >= size_) return false;
    const Merge* merge = merges_.find(left, symbols_[at(right_position)]);
    return merge != nullptr && merge->id == candidate.id;
  }

  void join(const Candidate& candidate) {
    const int32_t left = candidate.position();
    const int32_t right = next_[at(left)];
    symbols_[at(left)] = candidate.id;
    symbols_[at(right)] = kGone;
    next_[at(left)] = next_[at(right)];
    if (next_[at(left)] < size_) previous_[at(next_[at(left)])] = left;
    if (previous_[at(left)] >= 0) offer(previous_[at(left)]);
    if (next_[at(left)] < size_) offer(left);
  }

  void offer(int32_t position) {
    const Merge* merge = merges_.find(symbols_[at(position)], symbols_[at(next_[at(position)])]);
    if (merge == nullptr) return;
    heap_.emplace_back(*merge, position);
    std::push_heap(heap_.begin(), heap_.end(), later);
  }

  std::vector<int32_t> symbols_;
  const PairTable& merges_;
  int32_t size_;
  std::vector<int32_t> next_;      // size_ behind the last
  std::vector<int32_t> previous_;  // -1 before the first
  std::vector<Candidate> heap_;
};

}  // namespace

void apply_merges(std::vector<int32_t> symbols, const PairTable& merges, std::vector<int32_t>& ids,
                  std::vector<size_t>* firsts) {
  MergeLoop loop(std::move(symbols), merges);
  loop.run();
  loop.append_to(ids, firsts);
}

void apply_merges_to_word(std::span<int32_t> symbols, const PairTable& merges, std::vector<int32_t>& ids) {
  constexpr Merge kNoMerge{std::numeric_limits<uint32_t>::max(), -1};
  std::array<Merge, kMaxShortSymbols> pairs;  // [i]: what symbols i and i + 1 become
  size_t size = symbols.size();
  const auto look_up = [&](size_t i) {
    const Merge* merge = merges.find(symbols[i], symbols[i + 1]);
    pairs[i] = merge != nullptr ? *merge : kNoMerge;
  };
  for (size_t i = 0; i + 1 < size; ++i) look_up(i);
  while (size > 1) {
    size_t best = 0;
    for (size_t i = 1; i + 1 < size; ++i) best = pairs[i].rank < pairs[best].rank ? i : best;
    if (pairs[best].id < 0) break;
    symbols[best] = pairs[best].id;
    --size;
    for (size_t i = best + 1; i < size; ++i) {
      symbols[i] = symbols[i + 1];
      pairs[i - 1] = pairs[i];
    }
    if (best > 0) look_up(best - 1);
    if (best + 1 < size) look_up(best);
  }
  ids.insert(ids.end(), symbols.begin(), symbols.begin() + static_cast<ptrdiff_t>(size));
}

}  // namespace hesse
