// The inner loop of GPTQ, of the joint scale search and of coordinate descent.
#pragma once

#include <cstdint>

namespace hesse {

constexpr int64_t kFeedbackLanes = 16;  // `lanes` is a multiple of this

// One block of columns k in feedback form, for many rows side by side ("lanes"): element (k, lane) of a matrix
// [width, lanes] lies at [k * lanes + lane]. For k = 0 ... width - 1 in turn
//
//     t_k = w_k + (f_k + sum over i < k of e_i L_ki) / L_kk
//     q_k = s * clamp(round(t_k / s), -z, top - z)      halves to even, t_k / s as t_k * (1 / s)
//     e_k = w_k - q_k
//
// With L = R^T and f the feedback of earlier columns this is GPTQ; with L = H, w the present weights and f the rows of
// E H it is one pass of coordinate descent, e then being the change of the error.
template <class T>
struct FeedbackBlock {
  const T* lower;  // [width, width] L, lower triangle only
  int64_t stride;  // of lower
  int64_t width;
  int64_t lanes;
  int64_t copies = 1;   // lanes that share w and f: 1, or a multiple of kFeedbackLanes
  const T* w;           // [width, lanes / copies]
  const T* f;           // likewise, or nullptr for zeros
  const T* scale;       // [width, lanes], never 0, where grid_stride is `lanes`; [lanes] where it is 0
  const T* zero;        // likewise
  int64_t grid_stride;  // `lanes` or 0
  T top;                // the largest code
  T* error;             // [width, lanes] e
  T* loss;              // [lanes] += sum L_kk^2 (t_k - q_k)^2, or nullptr
};
void feedback_block(const FeedbackBlock<double>& block);
void feedback_block(const FeedbackBlock<float>& block);
namespace scalar {
void feedback_block(const FeedbackBlock<double>& block);
void feedback_block(const FeedbackBlock<float>& block);
}  // namespace scalar

}  // namespace hesse
