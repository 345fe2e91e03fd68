#include "run/measure.h"

#include <fmt/format.h>

#include <algorithm>
#include <cmath>
#include <map>
#include <utility>

#include "base/process.h"
#include "base/threads.h"
#include "hesse/error.h"
#include "kernels/kernels.h"
#include "plan/recipe.h"
#include "plan/work.h"
#include "run/measure_linears.h"
#include "run/streams.h"

namespace hesse {
namespace {

constexpr int64_t kFitWindows = 32;     // for the Hessians, at most
constexpr int64_t kProbeTokens = 1024;  // that go to the end of the model, about
constexpr int64_t kProbeLength = 512;   // of a window of these, at most
constexpr double kStreamBytes = 1e9;    // of the probes of all layers

Windows rows_of(const Windows& windows, int64_t first, int64_t count, int64_t length) {
  Windows part{.ids = Matrix<int32_t>(count, length), .bos = windows.bos, .notes = {}};
  for (int64_t r = 0; r < count; ++r) std::copy_n(windows.ids.row(first + r), length, part.ids.row(r));
  return part;
}

double squared_distance(MatrixView<const float> a, MatrixView<const float> b) {
  double sum = 0;
  for (int64_t r = 0; r < a.rows; ++r) {
    for (int64_t c = 0; c < a.cols; ++c) {
      const double d = static_cast<double>(a(r, c)) - static_cast<double>(b(r, c));
      sum += d * d;
    }
  }
  return sum;
}

// One pass for everything: the text for the Hessians, and behind it the streams of the probes, one more each layer.
class Measuring {
 public:
  Measuring(const Job& job, Listener& listener)
      : job_(job), listener_(listener), model_(*job.model), meter_(job, measured_specs(job)) {
    choose_windows();
  }

  std::vector<MeasuredUnit> run() {
    fit_.h = embedded(windows_);
    probes_.push_back(embedded(probe_windows_));
    const int64_t layers = model_.config().layers;
    for (int64_t layer = 0; layer < layers; ++layer) {
      tell(layer);
      measure_layer(layer);
    }
    share_out();
    return std::move(units_);
  }

 private:
  // What is about the probes is not in the text of the Hessians, unless there is too little.
  void choose_windows() {
    const Windows& all = *job_.windows;
    const int64_t length = std::min(all.length(), kProbeLength);
    const double stream = 4.0 * static_cast<double>(model_.config().hidden * length * (model_.config().layers + 1));
    const int64_t room = std::max<int64_t>(1, static_cast<int64_t>(kStreamBytes / stream));
    const int64_t probes = std::clamp<int64_t>(kProbeTokens / length, 1, std::min(room, all.count()));
    const int64_t rest = all.count() > 2 * probes ? all.count() - probes : all.count();
    windows_ = rows_of(all, 0, std::min(rest, kFitWindows), all.length());
    probe_windows_ = rows_of(all, all.count() - probes, probes, length);
  }

  Matrix<float> embedded(const Windows& windows) const {
    return model_.embed({windows.ids.data(), static_cast<size_t>(windows.ids.size())}, {.length = windows.length()});
  }

  void tell(int64_t layer) {
    if (listener_.stop_requested()) throw Error(ErrorKind::kInterrupted, "[measure] stopped on request");
    const double share = static_cast<double>(layer) / static_cast<double>(model_.config().layers);
    const double seconds = watch_.seconds();
    listener_.on_progress({.what = fmt::format("measuring layer {} of {}", layer + 1, model_.config().layers),
                           .share = share,
                           .seconds_left = share > 0 ? seconds / share - seconds : -1});
  }

  void measure_layer(int64_t layer) {
    require_room(layer);
    Block block = model_.block(layer);
    model_.prefetch(layer + 1);
    LossesByName losses = run_fit(block);
    probe_block(layer, block, losses);
  }

  // The weights of a layer are there once as they are, and once as the probe has them.
  void require_room(int64_t layer) const {
    double weights = 0;
    for (const StageShape& stage : layer_stages(model_.config(), layer)) weights += stage_weights(stage);
    const double bytes = weights * (job_.compute.type == ComputeType::kF32 ? 8 : 6);
    if (bytes <= static_cast<double>(job_.memory_bytes)) return;
    throw Error(
        ErrorKind::kUsage,
        fmt::format("[measure] layer {} has {:.3g} weights, and measuring it takes {:.1f} GB, more than the {:.1f} "
                    "GB of --memory; give the bits of its parts by a --recipe",
                    layer, weights, bytes / 1e9, static_cast<double>(job_.memory_bytes) / 1e9));
  }

  // The text of the Hessians through the original block; every stage is measured on the way.
  LossesByName run_fit(Block& block) {
    LossesByName losses;
    const auto rows = [](auto& m, int64_t first, const Batch& batch) {
      return m.view().row_range(first, batch.rows());
    };
    Stream& stream = fit_;
    const auto input_of = [&](size_t stage) {
      return ComputeMatrix(block.compute(), stream.h.rows(), block.stages()[stage].input_width());
    };
    stream.x = input_of(0);
    for_each_batch(windows_, [&](const Batch& batch, int64_t first) {
      block.begin(rows(stream.h, first, batch), rows(stream.x, first, batch));
    });
    for (size_t s = 0; s < block.stages().size(); ++s) {
      const ConstComputeView x = std::as_const(stream.x).view();
      if (block.stages()[s].expert != kNoExpert) {
        fit_experts(block, s, losses);
        break;
      }
      meter_.measure(block.stages()[s], x.block(0, 0, x.rows, block.stages()[s].in()), losses);
      const bool last = s + 1 == block.stages().size();
      ComputeMatrix next = last ? ComputeMatrix() : input_of(s + 1);
      for_each_batch(windows_, [&](const Batch& batch, int64_t first) {
        block.finish(static_cast<int64_t>(s), batch, rows(stream.x, first, batch), rows(stream.h, first, batch),
                     last ? ComputeView() : rows(next, first, batch));
      });
      stream.x = std::move(next);
    }
    return losses;
  }

  // Each expert, from stage `first` on, on its own tokens, which count by the square of the weight that the router
  // gives them.
  void fit_experts(Block& block, size_t first, LossesByName& losses) {
    const ConstComputeView x = std::as_const(fit_.x).view();
    Routing routing = block.no_routing();
    for (int64_t row = 0; row < x.rows; row += kBatchRows)
      block.route(x.row_range(row, std::min(kBatchRows, x.rows - row)), row, routing);
    for (size_t s = first; s < block.stages().size(); s += 2) {
      const ExpertRows& tokens = routing[static_cast<size_t>(block.stages()[s].expert)];
      const ComputeMatrix input = copy_rows(x, tokens.rows);
      ComputeMatrix inner(block.compute(), tokens.count(), block.stages()[s + 1].in());
      const bool reached = tokens.count() > 0;
      if (reached) block.finish_gate_up(static_cast<int64_t>(s), input.view(), inner.view(), nullptr);
      measure_weighted(block.stages()[s], input, tokens, losses);
      measure_weighted(block.stages()[s + 1], inner, tokens, losses);
      if (!reached) continue;
      block.finish_down(static_cast<int64_t>(s) + 1, std::as_const(inner).view(), tokens, fit_.h.view(), nullptr);
    }
  }

  void measure_weighted(const Block::Stage& stage, const ComputeMatrix& x, const ExpertRows& tokens,
                        LossesByName& losses) const {
    if (tokens.weights.empty()) return meter_.measure(stage, x.view(), losses);
    const ComputeMatrix weighted = weighted_rows(x.view(), tokens.weights);
    meter_.measure(stage, weighted.view(), losses);
  }

  // Each unit alone and all together at the probe; then all streams that are under way, through the original block.
  void probe_block(int64_t layer, Block& block, LossesByName& losses) {
    std::vector<std::vector<StageShape>> shapes{layer_stages(model_.config(), layer)};
    const std::vector<std::vector<LinearShape>> units = fusion_units(shapes);
    const Matrix<float> before = probes_.front().clone();
    for (Matrix<float>& stream : probes_) forward(block, stream);
    std::map<std::string, ComputeMatrix> originals;
    std::vector<double> moved;
    for (const std::vector<LinearShape>& unit : units) {
      for (const LinearShape& linear : unit)
        originals.emplace(linear.name, put(block, linear.name, probe_of(losses, linear.name)));
      Matrix<float> h = before.clone();
      forward(block, h);
      moved.push_back(squared_distance(std::as_const(h).view(), std::as_const(probes_.front()).view()));
      for (const LinearShape& linear : unit) put(block, linear.name, std::move(originals.at(linear.name)));
      for (const LinearShape& linear : unit) originals.erase(linear.name);
    }
    for (const std::vector<LinearShape>& unit : units) {
      for (const LinearShape& linear : unit) put(block, linear.name, probe_of(losses, linear.name));
    }
    Matrix<float> all = before.clone();
    forward(block, all);
    probes_.push_back(std::move(all));
    for (size_t u = 0; u < units.size(); ++u) add_unit(layer, units[u], losses, moved[u]);
  }

  const Matrix<float>& probe_of(const LossesByName& losses, const std::string& name) const {
    return losses.at(name).probe;
  }

  // Returns the weight that was there.
  static ComputeMatrix put(Block& block, const std::string& name, ComputeMatrix weight) {
    for (Block::Stage& stage : block.stages()) {
      for (Linear& linear : stage.linears) {
        if (linear.name == name) return std::exchange(linear.weight, std::move(weight));
      }
    }
    throw Error(ErrorKind::kInternal, fmt::format("[measure] the layer has no '{}'", name));
  }
  static ComputeMatrix put(Block& block, const std::string& name, const Matrix<float>& weight) {
    return put(block, name, to_compute_type(block.compute(), weight.clone()));
  }

  void forward(const Block& block, Matrix<float>& h) const {
    for_each_batch(probe_windows_, [&](const Batch& batch, int64_t first) {
      block.forward(batch, h.view().row_range(first, batch.rows()));
    });
  }

  // The damage of a unit, as a share of what its block does until the end of the model is known (share_out).
  void add_unit(int64_t layer, const std::vector<LinearShape>& linears, const LossesByName& losses, double moved) {
    MeasuredUnit unit;
    double probe = 0;
    for (const LinearShape& linear : linears) {
      unit.members.push_back({linear.name, linear.out, linear.in});
      probe += losses.at(linear.name).probe_loss;
    }
    for (size_t i = 0; i < meter_.specs().size(); ++i) {
      double loss = 0;
      for (const LinearShape& linear : linears) loss += losses.at(linear.name).losses[i];
      unit.candidates.push_back({meter_.specs()[i], probe > 0 ? moved * loss / probe : 0});
    }
    units_.push_back(std::move(unit));
    layer_of_.push_back(layer);
    moved_.push_back(moved);
  }

  // The KL divergence of every probe at the end of the model, over the units of its block.
  void share_out() {
    const std::vector<double> kl = divergences();
    std::vector<double> whole(kl.size(), 0.0);
    for (size_t u = 0; u < units_.size(); ++u) whole[static_cast<size_t>(layer_of_[u])] += moved_[u];
    for (size_t u = 0; u < units_.size(); ++u) {
      const auto layer = static_cast<size_t>(layer_of_[u]);
      for (Candidate& candidate : units_[u].candidates)
        candidate.damage *= whole[layer] > 0 ? kl[layer] / whole[layer] : 0;
    }
  }

  // Of every layer's probe from the original model: the mean over its tokens, nats.
  std::vector<double> divergences() const {
    const Model::Head head = model_.head();
    const int64_t vocab = model_.config().vocab, rows = probes_.front().rows();
    constexpr int64_t kPiece = 64;
    std::vector<double> kl(probes_.size() - 1, 0.0);
    for (int64_t first = 0; first < rows; first += kPiece) {
      const int64_t count = std::min(kPiece, rows - first);
      const Matrix<float> expected = head.logits(probes_.front().view().row_range(first, count));
      for (size_t layer = 0; layer < kl.size(); ++layer) {
        const Matrix<float> logits = head.logits(probes_[layer + 1].view().row_range(first, count));
        std::vector<double> terms(static_cast<size_t>(count));
        parallel_for(count, [&](int64_t r) {
          terms[static_cast<size_t>(r)] = kl_divergence(expected.row(r), logits.row(r), vocab);
        });
        for (const double term : terms) kl[layer] += term / static_cast<double>(rows);
      }
    }
    return kl;
  }

  const Job& job_;
  Listener& listener_;
  const Model& model_;
  LinearMeter meter_;
  Stopwatch watch_;
  Windows windows_, probe_windows_;
  Stream fit_;
  std::vector<Matrix<float>> probes_;  // [tokens, hidden]: the original, then one for every layer that is behind
  std::vector<MeasuredUnit> units_;
  std::vector<int64_t> layer_of_;  // of each unit
  std::vector<double> moved_;      // by each unit at the probe, at the end of its block
};

}  // namespace

std::vector<LinearSpec> measured_specs(const Job& job) {
  std::vector<int64_t> sizes = {32, 64, 128};
  if (std::find(sizes.begin(), sizes.end(), job.spec.group_size) == sizes.end()) sizes.push_back(job.spec.group_size);
  std::vector<LinearSpec> specs;
  for (const int bits : {2, 3, 4, 8}) {
    for (const int64_t size : sizes)
      specs.push_back({.bits = bits, .group_size = size, .symmetric = job.spec.symmetric});
  }
  return specs;
}

Measurement measure(const Job& job, Listener& listener) {
  return {measurement_fingerprint(job), Measuring(job, listener).run()};
}

}  // namespace hesse
