#include "linalg/matmul.h"

#include <fmt/format.h>

#include <dnnl.hpp>
#include <map>

#include "hesse/error.h"

namespace hesse {
namespace {

using Memory = dnnl::memory;

Memory::desc describe(ComputeType type, Memory::dims sizes, Memory::dims steps) {
  const auto element = (type == ComputeType::kBF16) ? Memory::data_type::bf16 : Memory::data_type::f32;
  return {std::move(sizes), element, std::move(steps)};
}

// Empty when oneDNN refuses.
dnnl::matmul::primitive_desc describe(const MatmulShape& s, const dnnl::engine& engine) {
  const Memory::desc a = describe(s.type, {s.m, s.k}, {s.a_row, s.a_col});
  const Memory::desc b = describe(s.type, {s.k, s.n}, {s.b_row, s.b_col});
  const Memory::desc c = describe(ComputeType::kF32, {s.m, s.n}, {s.c_row, 1});
  dnnl::primitive_attr attributes;
  if (s.add) {
    dnnl::post_ops sum;
    sum.append_sum(1.0f);
    attributes.set_post_ops(sum);
  }
  constexpr bool kEmptyWhenRefused = true;
#if DNNL_VERSION_MAJOR >= 3
  return {engine, a, b, c, attributes, kEmptyWhenRefused};
#else
  return {dnnl::matmul::desc(a, b, c), attributes, engine, kEmptyWhenRefused};
#endif
}

class Primitives {
 public:
  bool run(const MatmulShape& shape, const void* a, const void* b, float* c) {
    const Entry& entry = find(shape);
    if (!entry.description) return false;
    // oneDNN takes all pointers without const; it writes to c alone.
    const auto memory = [&](const Memory::desc& description, const void* data) {
      return Memory(description, engine_, const_cast<void*>(data));
    };
    entry.product.execute(stream_, {{DNNL_ARG_SRC, memory(entry.description.src_desc(), a)},
                                    {DNNL_ARG_WEIGHTS, memory(entry.description.weights_desc(), b)},
                                    {DNNL_ARG_DST, memory(entry.description.dst_desc(), c)}});
    stream_.wait();
    return true;
  }

 private:
  struct Entry {
    dnnl::matmul::primitive_desc description;  // empty: refused
    dnnl::matmul product;
  };

  const Entry& find(const MatmulShape& shape) {
    constexpr size_t kMost = 256;  // a model has a dozen shapes, texts of all lengths give more
    const auto known = entries_.find(shape);
    if (known != entries_.end()) return known->second;
    if (entries_.size() >= kMost) entries_.clear();
    Entry entry{describe(shape, engine_), {}};
    if (entry.description) entry.product = dnnl::matmul(entry.description);
    return entries_.emplace(shape, std::move(entry)).first->second;
  }

  dnnl::engine engine_{dnnl::engine::kind::cpu, 0};
  dnnl::stream stream_{engine_};
  std::map<MatmulShape, Entry> entries_;
};

}  // namespace

bool matmul(const MatmulShape& shape, const void* a, const void* b, float* c) {
  try {
    thread_local Primitives primitives;  // their scratch memory serves one thread at a time
    return primitives.run(shape, a, b, c);
  } catch (const dnnl::error& error) {
    const bool memory = error.status == dnnl_out_of_memory;
    throw Error(memory ? ErrorKind::kEnvironment : ErrorKind::kInternal,
                fmt::format("[matmul] [{}, {}] x [{}, {}]: oneDNN: {}", shape.m, shape.k, shape.k, shape.n,
                            memory ? "out of memory" : error.what()));
  }
}

}  // namespace hesse
