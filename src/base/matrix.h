// Row-major matrices: an owner and a view. Neither initialises, checks or computes more than it says.
#pragma once

#include <cstddef>
#include <cstdint>
#include <cstring>
#include <memory>
#include <type_traits>
#include <utility>

namespace hesse {

// A view of [rows, cols] elements; element (r, c) lies at data[r * stride + c]. Owns nothing.
template <class T>
struct MatrixView {
  T* data = nullptr;
  int64_t rows = 0;
  int64_t cols = 0;
  int64_t stride = 0;

  MatrixView() = default;
  MatrixView(T* d, int64_t r, int64_t c) : data(d), rows(r), cols(c), stride(c) {}
  MatrixView(T* d, int64_t r, int64_t c, int64_t s) : data(d), rows(r), cols(c), stride(s) {}
  // A view of T converts to a view of const T.
  template <class U, class = std::enable_if_t<std::is_same_v<const U, T>>>
  MatrixView(const MatrixView<U>& o) : data(o.data), rows(o.rows), cols(o.cols), stride(o.stride) {}

  T* row(int64_t r) const { return data + r * stride; }
  T& operator()(int64_t r, int64_t c) const { return data[r * stride + c]; }
  MatrixView block(int64_t r0, int64_t c0, int64_t r, int64_t c) const {
    return {data + r0 * stride + c0, r, c, stride};
  }
  MatrixView row_range(int64_t first, int64_t count) const { return block(first, 0, count, cols); }
};

// Not initialised, 64-byte aligned; large blocks lie on large pages where the system has them.
// Throws std::bad_alloc.
void* allocate_bytes(int64_t bytes);
void free_bytes(void* block);

// Memory from elsewhere, as a mapped file, and how it is given back.
struct ForeignMemory {
  void* data = nullptr;  // 64-byte aligned
  int64_t bytes = 0;
  void (*free)(void* data, int64_t bytes) = nullptr;
};

// Owns [rows, cols] elements, contiguous, 64-byte aligned. Movable, copied only by clone().
template <class T>
class Matrix {
  static_assert(std::is_trivially_copyable_v<T>);

 public:
  Matrix() = default;
  // Elements are not initialised.
  Matrix(int64_t rows, int64_t cols) : rows_(rows), cols_(cols), capacity_(rows * cols) {
    if (rows * cols > 0) {
      data_.reset(static_cast<T*>(allocate_bytes(rows * cols * static_cast<int64_t>(sizeof(T)))));
    }
  }
  // In memory of at least that size. Elements are what lies there.
  Matrix(const ForeignMemory& memory, int64_t rows, int64_t cols)
      : rows_(rows),
        cols_(cols),
        capacity_(memory.bytes / static_cast<int64_t>(sizeof(T))),
        data_(static_cast<T*>(memory.data), Free{memory.bytes, memory.free}) {}
  // In the memory of `old` where that is large enough, else in its place. Elements are not initialised.
  static Matrix in_memory_of(Matrix old, int64_t rows, int64_t cols) {
    if (rows * cols > old.capacity_) {
      old = Matrix();
      return Matrix(rows, cols);
    }
    old.rows_ = rows;
    old.cols_ = cols;
    return old;
  }
  static Matrix zeros(int64_t rows, int64_t cols) {
    Matrix m(rows, cols);
    m.fill_zero();
    return m;
  }

  int64_t rows() const { return rows_; }
  int64_t cols() const { return cols_; }
  int64_t size() const { return rows_ * cols_; }
  int64_t capacity() const { return capacity_; }  // elements there is memory for
  bool empty() const { return size() == 0; }
  T* data() { return data_.get(); }
  const T* data() const { return data_.get(); }
  T* row(int64_t r) { return data_.get() + r * cols_; }
  const T* row(int64_t r) const { return data_.get() + r * cols_; }
  T& operator()(int64_t r, int64_t c) { return data_.get()[r * cols_ + c]; }
  const T& operator()(int64_t r, int64_t c) const { return data_.get()[r * cols_ + c]; }

  MatrixView<T> view() { return {data_.get(), rows_, cols_}; }
  MatrixView<const T> view() const { return {data_.get(), rows_, cols_}; }

  void fill_zero() {
    if (size() > 0) std::memset(static_cast<void*>(data_.get()), 0, static_cast<size_t>(size()) * sizeof(T));
  }
  Matrix clone() const {
    Matrix m(rows_, cols_);
    if (size() > 0) std::memcpy(m.data(), data(), static_cast<size_t>(size()) * sizeof(T));
    return m;
  }

 private:
  struct Free {
    int64_t bytes = 0;
    void (*foreign)(void*, int64_t) = nullptr;
    void operator()(T* p) const { foreign != nullptr ? foreign(p, bytes) : free_bytes(p); }
  };
  int64_t rows_ = 0;
  int64_t cols_ = 0;
  int64_t capacity_ = 0;  // elements there is memory for
  std::unique_ptr<T, Free> data_;
};

}  // namespace hesse
