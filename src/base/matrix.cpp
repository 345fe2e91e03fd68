#include "base/matrix.h"

#include <sys/mman.h>

#include <cstdint>
#include <cstdlib>
#include <new>

namespace hesse {

namespace {

// The address sanitizer wants to see both ends of a block.
#if defined(__has_feature)
#define HESSE_BLOCKS_AS_THEY_ARE __has_feature(address_sanitizer)
#elif defined(__SANITIZE_ADDRESS__)
#define HESSE_BLOCKS_AS_THEY_ARE 1
#else
#define HESSE_BLOCKS_AS_THEY_ARE 0
#endif

#if HESSE_BLOCKS_AS_THEY_ARE
void* allocate_aligned(size_t size, size_t alignment) {
  void* block = nullptr;
  return posix_memalign(&block, alignment, size) == 0 ? block : nullptr;
}
void free_aligned(void* block) { std::free(block); }
#else
// The block lies in a larger one of malloc, whose address stands right before it: glibc below 2.38 hardly ever uses
// memory again that posix_memalign gave and free took back, and a run grew by megabytes a layer.
void* allocate_aligned(size_t size, size_t alignment) {
  void* whole = std::malloc(size + alignment + sizeof(void*));
  if (whole == nullptr) return nullptr;
  const uintptr_t first = reinterpret_cast<uintptr_t>(whole) + sizeof(void*);
  void* block = reinterpret_cast<void*>((first + alignment - 1) / alignment * alignment);
  static_cast<void**>(block)[-1] = whole;
  return block;
}
void free_aligned(void* block) {
  if (block != nullptr) std::free(static_cast<void**>(block)[-1]);
}
#endif

}  // namespace

void* allocate_bytes(int64_t bytes) {
  constexpr size_t kCacheLine = 64;
  constexpr size_t kLargePage = size_t{1} << 21;
  const size_t size = static_cast<size_t>(bytes);
  const bool large = size >= 2 * kLargePage;
  void* block = allocate_aligned(size, large ? kLargePage : kCacheLine);
  if (block == nullptr) throw std::bad_alloc();
#ifdef MADV_HUGEPAGE
  if (large) madvise(block, size / kLargePage * kLargePage, MADV_HUGEPAGE);  // a wish; what it returns changes nothing
#endif
  return block;
}

void free_bytes(void* block) { free_aligned(block); }

}  // namespace hesse
