#include "eval/choices.h"

#include <algorithm>
#include <cstring>
#include <numeric>

namespace hesse {
namespace {

// Sequences of one length after padding, and their residual stream.
struct Shelf {
  std::vector<size_t> members;  // of the ends
  int64_t length = 0;
  Matrix<float> h;  // [members * length, hidden]
};

int64_t length_of(const ScoredEnd& end) { return static_cast<int64_t>(end.ids.size()); }

// The longest first, cut so that a shelf has at most kBatchRows tokens.
std::vector<Shelf> shelves_of(std::span<const ScoredEnd> ends) {
  std::vector<size_t> order(ends.size());
  std::iota(order.begin(), order.end(), size_t{0});
  std::stable_sort(order.begin(), order.end(),
                   [&](size_t a, size_t b) { return length_of(ends[a]) > length_of(ends[b]); });
  std::vector<Shelf> shelves;
  for (const size_t i : order) {
    if (shelves.empty() ||
        (static_cast<int64_t>(shelves.back().members.size()) + 1) * shelves.back().length > kBatchRows) {
      shelves.emplace_back().length = length_of(ends[i]);
    }
    shelves.back().members.push_back(i);
  }
  return shelves;
}

void embed_shelf(const Model& model, std::span<const ScoredEnd> ends, Shelf& shelf) {
  std::vector<int32_t> ids;
  for (const size_t i : shelf.members) {
    ids.insert(ids.end(), ends[i].ids.begin(), ends[i].ids.end());
    ids.resize(ids.size() + static_cast<size_t>(shelf.length - length_of(ends[i])), ends[i].ids.back());
  }
  shelf.h = model.embed(ids, {.length = shelf.length});
}

// A row of a shelf that predicts a token of an end.
struct Scored {
  size_t end = 0;
  int64_t row = 0;
  int32_t target = 0;
};

void score_shelf(const Model::Head& head, std::span<const ScoredEnd> ends, const Shelf& shelf,
                 std::vector<double>& losses) {
  std::vector<Scored> scored;
  for (size_t m = 0; m < shelf.members.size(); ++m) {
    const ScoredEnd& end = ends[shelf.members[m]];
    for (int64_t t = end.begin; t < length_of(end); ++t) {
      scored.push_back(
          {shelf.members[m], static_cast<int64_t>(m) * shelf.length + t - 1, end.ids[static_cast<size_t>(t)]});
    }
  }
  for_each_piece(static_cast<int64_t>(scored.size()), head.linear().weight.rows(), [&](int64_t first, int64_t rows) {
    Matrix<float> h(rows, shelf.h.cols());
    for (int64_t r = 0; r < rows; ++r) {
      const int64_t row = scored[static_cast<size_t>(first + r)].row;
      std::memcpy(h.row(r), shelf.h.row(row), static_cast<size_t>(h.cols()) * sizeof(float));
    }
    const Matrix<float> logits = head.logits(h.view());
    std::vector<double> loss(static_cast<size_t>(rows));
    parallel_for(rows, [&](int64_t r) {
      loss[static_cast<size_t>(r)] = loss_of(logits, r, scored[static_cast<size_t>(first + r)].target);
    });
    for (int64_t r = 0; r < rows; ++r)
      losses[scored[static_cast<size_t>(first + r)].end] += loss[static_cast<size_t>(r)];
  });
}

// Shelves that go through the layers together.
void run_shelves(const Model& model, const Model::Head& head, std::span<const ScoredEnd> ends, std::span<Shelf> shelves,
                 const EvalProgress& progress, std::vector<double>& losses) {
  const int64_t layers = model.config().layers;
  for (Shelf& shelf : shelves) embed_shelf(model, ends, shelf);
  for (int64_t layer = 0; layer < layers; ++layer) {
    progress(static_cast<double>(layer) / static_cast<double>(layers + 1));
    const Block block = model.block(layer);
    model.prefetch(layer + 1);
    for (Shelf& shelf : shelves) {
      block.forward({.sequences = static_cast<int64_t>(shelf.members.size()), .length = shelf.length}, shelf.h.view());
    }
  }
  for (Shelf& shelf : shelves) {
    score_shelf(head, ends, shelf, losses);
    shelf.h = Matrix<float>();
  }
}

}  // namespace

std::vector<double> end_losses(const Model& model, std::span<const ScoredEnd> ends, const EvalProgress& progress) {
  std::vector<Shelf> shelves = shelves_of(ends);
  std::vector<double> losses(ends.size(), 0.0);
  const Model::Head head = model.head();
  const size_t together = static_cast<size_t>(
      std::max<int64_t>(1, kActivationBytes / (4 * model.config().hidden * std::max(kBatchRows, shelves[0].length))));
  for (size_t first = 0; first < shelves.size(); first += together) {
    const size_t count = std::min(together, shelves.size() - first);
    const auto part = [&](double share) {
      progress((static_cast<double>(first) + share * static_cast<double>(count)) / static_cast<double>(shelves.size()));
    };
    run_shelves(model, head, ends, std::span(shelves).subspan(first, count), part, losses);
  }
  progress(1.0);
  return losses;
}

}  // namespace hesse
