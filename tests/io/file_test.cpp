#include "io/file.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <signal.h>
#include <sys/resource.h>
#include <sys/stat.h>

#include <cstdint>
#include <cstring>
#include <limits>
#include <string>
#include <utility>

#include "io/faulty_file_system.h"
#include "io/test_files.h"

namespace hesse {
namespace {

using testing::AllOf;
using testing::HasSubstr;

std::string text_of(const MappedFile& file) {
  return {reinterpret_cast<const char*>(file.bytes().data()), file.bytes().size()};
}

TEST(MappedFile, HasTheBytesOfTheFileWhereverItIsMoved) {
  const TestDirectory directory;
  for (const size_t size : {0u, 1u, 4095u, 4096u, 4097u}) {
    const std::string bytes(size, 'x');
    put_file(directory / "f", bytes);
    MappedFile first(directory / "f");
    MappedFile second(std::move(first));
    EXPECT_EQ(text_of(second), bytes);
    EXPECT_EQ(second.size(), static_cast<int64_t>(size));
    MappedFile third;
    third = std::move(second);
    EXPECT_EQ(text_of(third), bytes);
  }
}

TEST(MappedFile, AdviceNeverChangesTheBytes) {
  const TestDirectory directory;
  std::string bytes(20000, '\0');
  for (size_t i = 0; i < bytes.size(); ++i) bytes[i] = static_cast<char>(i * 7);
  put_file(directory / "f", bytes);
  const MappedFile file(directory / "f");
  constexpr int64_t kMax = std::numeric_limits<int64_t>::max();
  for (const int64_t begin :
       {int64_t{-1}, int64_t{0}, int64_t{1}, int64_t{4096}, int64_t{19999}, int64_t{20000}, kMax}) {
    for (const int64_t size : {int64_t{-5}, int64_t{0}, int64_t{1}, int64_t{8192}, int64_t{20000}, kMax}) {
      file.will_need(begin, size);
      file.dont_need(begin, size);
    }
  }
  EXPECT_EQ(text_of(file), bytes);
  MappedFile().dont_need(0, 100);
  MappedFile().will_need(0, 100);
}

TEST(MappedFile, WhatWasJustReadLiesInMemory) {
  const TestDirectory directory;
  put_file(directory / "f", std::string(20000, 'x'));
  const MappedFile file(directory / "f");
  EXPECT_EQ(text_of(file).size(), 20000u);
  EXPECT_EQ(file.share_in_memory(0, 20000), 1.0);
  EXPECT_EQ(file.share_in_memory(4097, std::numeric_limits<int64_t>::max()), 1.0);
  EXPECT_EQ(file.share_in_memory(-5, -5), 1.0);  // nothing is all there
  EXPECT_EQ(MappedFile().share_in_memory(0, 100), 1.0);
}

TEST(MappedFile, RefusesWhatIsNotARegularFile) {
  const TestDirectory directory;
  const auto refusal = [](const std::filesystem::path& path) {
    return message_of(ErrorKind::kBadInput, [&] { MappedFile file(path); });
  };
  EXPECT_THAT(refusal(directory / "absent"), AllOf(HasSubstr("absent: cannot open"), HasSubstr("No such file")));
  EXPECT_THAT(refusal(directory.path()), HasSubstr("Is a directory"));
  EXPECT_THAT(refusal("/dev/null"), HasSubstr("not a regular file"));
  ASSERT_EQ(::mkfifo((directory / "pipe").c_str(), 0600), 0);
  EXPECT_THAT(refusal(directory / "pipe"), HasSubstr("not a regular file"));  // and does not wait for a writer
  put_file(directory / "f", "x");
  EXPECT_THAT(refusal(directory / "f" / "g"), HasSubstr("Not a directory"));
}

TEST(ReadTextFile, ReadsAllOrSaysWhyNot) {
  const TestDirectory directory;
  for (const size_t size : {0u, 1u, 65535u, 65536u, 65537u, 200000u}) {
    std::string text(size, 'a');
    if (size > 0) text.back() = '\0';
    put_file(directory / "f", text);
    EXPECT_EQ(read_text_file(directory / "f"), text);
  }
  EXPECT_THAT(message_of(ErrorKind::kBadInput, [&] { read_text_file(directory / "absent"); }),
              HasSubstr("No such file"));
  EXPECT_THAT(message_of(ErrorKind::kBadInput, [&] { read_text_file(directory.path()); }), HasSubstr("Is a directory"));
}

TEST(OutputFile, WritesAtAnyOffset) {
  const TestDirectory directory;
  OutputFile file(directory / "f");
  file.write_at(4, "def", 3);
  file.write_at(0, "abc ", 4);
  file.write_at(7, nullptr, 0);
  file.finish();
  EXPECT_EQ(get_file(directory / "f"), "abc def");
  EXPECT_THAT(message_of(ErrorKind::kInternal, [&] { file.write_at(0, "x", 1); }), HasSubstr("finished file"));
  EXPECT_THAT(message_of(ErrorKind::kInternal, [&] { file.finish(); }), HasSubstr("finished twice"));
  EXPECT_EQ(get_file(directory / "f"), "abc def");
}

TEST(OutputFile, IsRemovedWhenUnfinished) {
  const TestDirectory directory;
  {
    OutputFile file(directory / "f");
    file.write_at(0, "abc", 3);
    EXPECT_TRUE(std::filesystem::exists(directory / "f"));
    EXPECT_THROW(file.write_at(-1, "x", 1), Error);
  }
  EXPECT_FALSE(std::filesystem::exists(directory / "f"));
}

TEST(OutputFile, NeverTouchesAnExistingFile) {
  const TestDirectory directory;
  put_file(directory / "f", "precious");
  EXPECT_THAT(message_of(ErrorKind::kEnvironment, [&] { OutputFile file(directory / "f"); }), HasSubstr("File exists"));
  EXPECT_EQ(get_file(directory / "f"), "precious");
  EXPECT_THAT(message_of(ErrorKind::kEnvironment, [&] { OutputFile file(directory / "f" / "g"); }),
              HasSubstr("cannot create: Not a directory"));
}

TEST(OutputFile, FailedWritesAreErrorsAndLeaveNoFile) {
  const TestDirectory directory;
  const std::string bytes(100000, 'x');
  rlimit before{};
  ASSERT_EQ(::getrlimit(RLIMIT_FSIZE, &before), 0);
  const auto handler = ::signal(SIGXFSZ, SIG_IGN);
  rlimit small = before;
  small.rlim_cur = 65536;
  ASSERT_EQ(::setrlimit(RLIMIT_FSIZE, &small), 0);
  const std::string message = message_of(ErrorKind::kEnvironment, [&] { write_text_file(directory / "f", bytes); });
  const bool left = std::filesystem::exists(directory / "f");
  ::setrlimit(RLIMIT_FSIZE, &before);
  ::signal(SIGXFSZ, handler);
  // The system took 65536 of the 100000 bytes before it refused: the message tells what was left.
  EXPECT_THAT(message, AllOf(HasSubstr("cannot write 34464 bytes at offset 65536"), HasSubstr("File too large")));
  EXPECT_FALSE(left);
}

TEST(CopyFileSynced, CopiesBytesAndRefusesToOverwrite) {
  const TestDirectory directory;
  for (const std::string& bytes : {std::string(), std::string("tokenizer\0json", 14), std::string(300000, 'z')}) {
    put_file(directory / "from", bytes);
    copy_file_synced(directory / "from", directory / "to");
    EXPECT_EQ(get_file(directory / "to"), bytes);
    EXPECT_THROW(copy_file_synced(directory / "from", directory / "to"), Error);
    std::filesystem::remove(directory / "to");
  }
  EXPECT_THAT(message_of(ErrorKind::kBadInput, [&] { copy_file_synced(directory / "absent", directory / "to"); }),
              HasSubstr("absent"));
  EXPECT_FALSE(std::filesystem::exists(directory / "to"));
}

TEST(SyncPath, TakesFilesAndDirectoriesAndReportsTheRest) {
  const TestDirectory directory;
  put_file(directory / "f", "x");
  sync_path(directory / "f");
  sync_path(directory.path());
  EXPECT_THAT(message_of(ErrorKind::kEnvironment, [&] { sync_path(directory / "absent"); }), HasSubstr("absent"));
}

TEST(AppendFile, CutsAndGoesOn) {
  const TestDirectory directory;
  put_file(directory / "f", "abcdef");
  {
    AppendFile file(directory / "f", 3);
    file.append("X");
    file.append("YZ");
    EXPECT_EQ(file.size(), 6);
  }
  EXPECT_EQ(get_file(directory / "f"), "abcXYZ");
  EXPECT_THAT(message_of(ErrorKind::kEnvironment, [&] { AppendFile file(directory / "absent", 0); }),
              HasSubstr("cannot open"));
  for (int64_t call = 2; call <= 3; ++call) {
    const FaultyFileSystem disk({.what = Fault::What::kFail, .call = call, .number = EIO});
    EXPECT_THAT(message_of(ErrorKind::kEnvironment, [&] { AppendFile file(directory / "f", 1); }),
                HasSubstr(call == 2 ? "cannot cut" : "cannot sync"));
  }
}

TEST(RemoveTree, RemovesLinksAndNotWhatTheyLeadTo) {
  const TestDirectory directory;
  make_directories(directory / "a/b/c");
  make_directories(directory / "a/b");
  std::filesystem::create_directory(directory / "kept");
  put_file(directory / "kept/f", "x");
  put_file(directory / "a/b/f", "x");
  std::filesystem::create_directory_symlink(directory / "kept", directory / "a/b/link");
  EXPECT_FALSE(remove_empty_directory(directory / "a"));
  EXPECT_TRUE(remove_tree(directory / "a"));
  EXPECT_TRUE(remove_tree(directory / "a"));
  EXPECT_TRUE(remove_empty_directory(directory / "a"));
  EXPECT_EQ(get_file(directory / "kept/f"), "x");
  EXPECT_EQ(directory.names(), std::set<std::string>{"kept"});
}

TEST(FaultyFileSystem, EndsWithItsScope) {
  const TestDirectory directory;
  {
    const FaultyFileSystem disk({.what = Fault::What::kFailAlways, .call = 1, .number = ENOSPC});
    EXPECT_THAT(message_of(ErrorKind::kEnvironment, [&] { write_text_file(directory / "f", "x"); }),
                AllOf(HasSubstr("No space"), HasSubstr("free some disk space")));
    EXPECT_GT(disk.calls(), 0);
  }
  write_text_file(directory / "f", "x");
  EXPECT_GT(free_disk_bytes(directory.path()), 0);
  EXPECT_EQ(free_disk_bytes(directory / "absent/path"), 0);
}

TEST(TestFiles, TheHelperTellsWhenNothingWasThrown) {
  EXPECT_EQ(message_of(ErrorKind::kUsage, [] {}), "no error");
}

}  // namespace
}  // namespace hesse
