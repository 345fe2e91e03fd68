// Everything a caller can ask of the solver. Defaults: what measured best on real models (docs/QUALITY.md).
#pragma once

#include <cstdint>

namespace hesse {

enum class ScaleSearch {
  kMinMax,    // the grid that just covers the group
  kWeighted,  // the candidate with the least sum of weight_i * (w_i - q_i)^2
};

struct GridOptions {
  ScaleSearch search = ScaleSearch::kWeighted;
  // Symmetric grids reach 2^(bits-1) steps to one side and one step less to the other. A negative scale turns the long
  // side to the positive weights, so that the extreme weight of either sign can use code 0.
  bool negative_scales = true;
};

// The order in which columns are solved. Early columns make their error while most others can still absorb it. The file
// is a plain one in every case.
enum class ColumnOrder {
  kFile,        // as they lie; scales are found when the solve reaches a group
  kActivation,  // diag(H) falling; scales are found before, from the original weights
  kGroups,      // groups by falling mean diag(H), inside a group diag(H) falling; scales when a group is reached
};

// Targets that follow the original model (quant/target.h).
struct ShiftOptions {
  double shift = 0.8;     // 0 ... 1
  double residual = 0.8;  // 0 ... 1
  double ridge = 5;       // lambda / mean diag(H) of the regression = ridge * in / tokens, but not below the damping
  bool any() const { return shift != 0 || residual != 0; }
};

constexpr double kStandardDamping = 0.01;
constexpr double kDampingByData = 0;  // for whoever holds sequences out (quant/held_out.h); the solver wants a number

struct GptqOptions {
  double damping = kStandardDamping;  // lambda / mean diag(H)
  ColumnOrder order = ColumnOrder::kGroups;
  GridOptions grid = {};
  int joint_candidates = 16;  // grids of a group that are judged by solving it; 1: the best of the search is taken
  int sweeps = 4;             // passes of descent over the solved linear
  ShiftOptions targets = {};
};

}  // namespace hesse
