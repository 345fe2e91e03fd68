#include "base/matrix.h"

#include <sys/mman.h>

#include <cstdlib>
#include <new>

namespace hesse {

void* allocate_bytes(int64_t bytes) {
  constexpr size_t kCacheLine = 64;
  constexpr size_t kLargePage = size_t{1} << 21;
  const size_t size = static_cast<size_t>(bytes);
  const bool large = size >= 2 * kLargePage;
  void* block = nullptr;
  if (posix_memalign(&block, large ? kLargePage : kCacheLine, size) != 0) throw std::bad_alloc();
#ifdef MADV_HUGEPAGE
  if (large) madvise(block, size / kLargePage * kLargePage, MADV_HUGEPAGE);  // a wish; what it returns changes nothing
#endif
  return block;
}

void free_bytes(void* block) { std::free(block); }

}  // namespace hesse
