// Memory that lies in a file without a name.
#include "io/scratch_memory.h"

#include <gtest/gtest.h>
#include <unistd.h>

#include <cerrno>
#include <filesystem>
#include <utility>

#include "hesse/error.h"
#include "io/faulty_file_system.h"

namespace hesse {
namespace {

namespace fs = std::filesystem;

class ScratchMemory : public testing::Test {
 protected:
  void SetUp() override {
    folder_ = fs::path(testing::TempDir()) / ("hesse-scratch-" + std::to_string(::getpid()));
    fs::remove_all(folder_);  // of a process with this number that was killed
    fs::create_directories(folder_);
  }
  void TearDown() override { fs::remove_all(folder_); }
  fs::path folder_;
};

TEST_F(ScratchMemory, KeepsWhatIsPutAside) {
  constexpr int64_t kRows = 300, kCols = 50;  // no whole number of pages a row
  Matrix<float> m(scratch_memory(folder_, kRows * kCols * 4), kRows, kCols);
  EXPECT_TRUE(fs::is_empty(folder_));  // it has no name
  for (int64_t r = 0; r < kRows; ++r) {
    for (int64_t c = 0; c < kCols; ++c) m(r, c) = static_cast<float>(r * kCols + c);
    put_aside(m.row(r), kCols * 4);
  }
  Matrix<float> moved = std::move(m);
  for (int64_t r = 0; r < kRows; ++r) {
    for (int64_t c = 0; c < kCols; ++c) ASSERT_EQ(moved(r, c), static_cast<float>(r * kCols + c));
    put_aside(moved.row(r), kCols * 4);
  }
  moved = Matrix<float>::in_memory_of(std::move(moved), kCols, kRows);  // the same memory
  EXPECT_EQ(moved.capacity(), kRows * kCols);
}

TEST_F(ScratchMemory, AFullDiskIsSaidAtOnce) {
  for (int64_t call = 1; call <= 3; ++call) {  // open, unlink, allocate
    FaultyFileSystem full({.what = Fault::What::kFail, .call = call, .number = ENOSPC});
    if (call == 2) {  // it may keep its name
      const Matrix<float> m(scratch_memory(folder_, 4096), 32, 32);
      continue;
    }
    try {
      const Matrix<float> m(scratch_memory(folder_, 4096), 32, 32);
      FAIL() << call;
    } catch (const Error& error) {
      EXPECT_EQ(error.kind(), ErrorKind::kEnvironment);
    }
  }
}

}  // namespace
}  // namespace hesse
