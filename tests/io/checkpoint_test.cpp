#include "io/checkpoint.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <chrono>
#include <cstring>
#include <fstream>
#include <map>
#include <set>
#include <string>
#include <vector>

#include "base/rng.h"
#include "io/json.h"
#include "io/test_files.h"

namespace hesse {
namespace {

using testing::AllOf;
using testing::HasSubstr;
using Item = CheckpointWriter::Item;
using Names = std::set<std::string>;
namespace fs = std::filesystem;

std::string text_of(std::span<const std::byte> bytes) {
  return {reinterpret_cast<const char*>(bytes.data()), bytes.size()};
}

std::span<const std::byte> bytes_of(const std::string& text) {
  return {reinterpret_cast<const std::byte*>(text.data()), text.size()};
}

// A file of U8 tensors, each holding `text`.
void put_tensors(const fs::path& path, const std::vector<std::string>& names, const std::string& text) {
  std::vector<TensorSpec> specs;
  for (const std::string& name : names) specs.push_back({name, DType::kU8, {static_cast<int64_t>(text.size())}});
  SafetensorsWriter writer(path, layout_safetensors(specs));
  for (const std::string& name : names) writer.write(name, bytes_of(text));
  writer.finish();
}

void put_index(const fs::path& directory, const std::string& weight_map) {
  put_file(directory / "model.safetensors.index.json",
           R"({"metadata":{"total_size":1},"weight_map":)" + weight_map + "}");
}

std::string refusal(const fs::path& directory) {
  return message_of(ErrorKind::kBadInput, [&] { Checkpoint checkpoint(directory); });
}

TEST(Checkpoint, ReadsASingleFile) {
  const TestDirectory directory;
  put_tensors(directory / "model.safetensors", {"b", "a"}, "xyz");
  const Checkpoint checkpoint(directory.path());
  ASSERT_EQ(checkpoint.tensors().size(), 2u);
  EXPECT_EQ(checkpoint.tensors()[0]->spec.name, "a");
  EXPECT_EQ(checkpoint.total_bytes(), 6);
  EXPECT_EQ(checkpoint.files(), std::vector<fs::path>{directory / "model.safetensors"});
  EXPECT_EQ(checkpoint.directory(), directory.path());
  EXPECT_EQ(checkpoint.find("c"), nullptr);
  EXPECT_THAT(message_of(ErrorKind::kBadInput, [&] { checkpoint.at("c"); }), HasSubstr("no tensor 'c' among its 2"));
  checkpoint.prefetch(checkpoint.at("a"));
  checkpoint.release(checkpoint.at("a"));
  EXPECT_EQ(text_of(checkpoint.at("a").bytes), "xyz");
  EXPECT_THROW(checkpoint.release(TensorView{{"c", DType::kU8, {0}}, {}}), Error);
}

TEST(Checkpoint, ReadsTheFileThatAutoGptqNames) {
  const TestDirectory directory;
  put_tensors(directory / "gptq_model-4bit-128g.safetensors", {"a"}, "xyz");
  EXPECT_EQ(text_of(Checkpoint(directory.path()).at("a").bytes), "xyz");
  EXPECT_TRUE(Checkpoint::problems(directory.path()).empty());
  put_tensors(directory / "gptq_model-8bit-128g.safetensors", {"a"}, "123");
  EXPECT_THAT(refusal(directory.path()), HasSubstr("2 .safetensors file(s)"));  // which of them?
  put_tensors(directory / "model.safetensors", {"a"}, "abc");
  EXPECT_EQ(text_of(Checkpoint(directory.path()).at("a").bytes), "abc");
}

TEST(Checkpoint, ReadsShardsAndTheIndexWins) {
  const TestDirectory directory;
  put_tensors(directory / "one", {"a", "unlisted"}, "1111");
  put_tensors(directory / "two", {"b", "unlisted"}, "22");
  put_file(directory / "model.safetensors", "not even read");
  put_index(directory.path(), R"({"b":"two","a":"one"})");
  Checkpoint loaded(directory.path());
  const Checkpoint checkpoint = std::move(loaded);
  ASSERT_EQ(checkpoint.tensors().size(), 2u);
  EXPECT_EQ(text_of(checkpoint.at("a").bytes), "1111");
  EXPECT_EQ(text_of(checkpoint.at("b").bytes), "22");
  EXPECT_EQ(checkpoint.find("unlisted"), nullptr);
  EXPECT_EQ(checkpoint.total_bytes(), 6);
  EXPECT_EQ(checkpoint.files(), (std::vector<fs::path>{directory / "one", directory / "two"}));
  for (const TensorView* tensor : checkpoint.tensors()) checkpoint.release(*tensor);
  EXPECT_EQ(text_of(checkpoint.at("b").bytes), "22");
}

// Bytes of `file` that are in this process's memory, as /proc/self/smaps says.
int64_t resident_bytes_of(const fs::path& file) {
  std::ifstream maps("/proc/self/smaps");
  int64_t bytes = 0;
  bool ours = false;
  for (std::string line; std::getline(maps, line);) {
    if (line.find('-') < line.find(' ')) ours = line.ends_with(file.string());  // begins with a range of addresses
    if (ours && line.starts_with("Rss:")) bytes += 1024 * std::stoll(line.substr(4));
  }
  return bytes;
}

// Or the weights of a large model would all count as memory of the process by the end of a run.
TEST(Checkpoint, ReleasedModulesLeaveTheMemory) {
  const TestDirectory directory;
  const std::string megabytes(size_t{8} << 20, 'x');
  const fs::path file = directory / "model.safetensors";
  put_tensors(file, {"a.qweight", "a.scales", "ab.weight"}, megabytes);
  const Checkpoint checkpoint(directory.path());
  const auto touch = [&] {
    for (const TensorView* tensor : checkpoint.tensors()) EXPECT_EQ(text_of(tensor->bytes), megabytes);
  };
  touch();
  EXPECT_GE(resident_bytes_of(file), 3 * (int64_t{8} << 20));
  checkpoint.release_module("a");
  checkpoint.release_module("nobody");
  EXPECT_LE(resident_bytes_of(file), int64_t{9} << 20);
  EXPECT_GE(resident_bytes_of(file), int64_t{7} << 20);  // ab is another module
  touch();
}

TEST(Checkpoint, ShardsMayBeSymbolicLinksAsInTheDownloadCache) {
  const TestDirectory directory;
  fs::create_directories(directory / "blobs");
  fs::create_directories(directory / "snapshot");
  put_tensors(directory / "blobs" / "0123", {"a"}, "1");
  fs::create_symlink("../blobs/0123", directory / "snapshot" / "model.safetensors");
  EXPECT_EQ(Checkpoint(directory / "snapshot").tensors().size(), 1u);
}

TEST(Checkpoint, TheIndexMustNameFilesOfItsDirectory) {
  const TestDirectory directory;
  put_tensors(directory / "one", {"a"}, "1");
  for (const char* name :
       {"../../etc/passwd", "/etc/passwd", "sub/one", "..", ".", "", "a\\\\b", "./one", "a\\u0000"}) {
    SCOPED_TRACE(name);
    put_index(directory.path(), std::string(R"({"a":")") + name + "\"}");
    EXPECT_THAT(refusal(directory.path()), AllOf(HasSubstr("'a' is said to lie in"), HasSubstr("index.json")));
  }
}

TEST(Checkpoint, HostileIndexesAreRefused) {
  const TestDirectory directory;
  put_tensors(directory / "one", {"a"}, "1");
  const auto with_index = [&](const std::string& text) {
    put_file(directory / "model.safetensors.index.json", text);
    return refusal(directory.path());
  };
  EXPECT_THAT(with_index(""), HasSubstr("index.json"));
  EXPECT_THAT(with_index("[]"), HasSubstr("no \"weight_map\""));
  EXPECT_THAT(with_index("{}"), HasSubstr("no \"weight_map\""));
  EXPECT_THAT(with_index(R"({"weight_map":[]})"), HasSubstr("weight_map: expected an object"));
  EXPECT_THAT(with_index(R"({"weight_map":{}})"), HasSubstr("names no tensors"));
  EXPECT_THAT(with_index(R"({"weight_map":{"a":1}})"), HasSubstr("'a': expected a string"));
  EXPECT_THAT(with_index(R"({"weight_map":{"a":"one","a":"two"}})"), HasSubstr("'a' stands twice"));
}

TEST(Checkpoint, IndexAndShardsMustAgree) {
  const TestDirectory directory;
  put_tensors(directory / "one", {"a", "twice"}, "1");
  put_tensors(directory / "two", {"b", "twice"}, "2");
  const auto with_map = [&](const std::string& map) {
    put_index(directory.path(), map);
    return refusal(directory.path());
  };
  EXPECT_THAT(with_map(R"({"a":"one","c":"two"})"),
              AllOf(HasSubstr("'c' should lie in 'two'"), HasSubstr("in none of the 2 files")));
  EXPECT_THAT(with_map(R"({"a":"two","b":"one"})"), AllOf(HasSubstr("'a' should lie in 'two'"), HasSubstr("in 'one'")));
  EXPECT_THAT(with_map(R"({"a":"one","b":"two","twice":"one"})"),
              HasSubstr("'twice' stands in two files, one and two"));
  EXPECT_THAT(with_map(R"({"a":"one","b":"three","c":"four"})"),
              AllOf(HasSubstr("2 of 3 files"), HasSubstr("'four'"), HasSubstr("incomplete download?")));
}

TEST(Checkpoint, ATruncatedShardIsNamedWithBothSizes) {
  const TestDirectory directory;
  put_tensors(directory / "one", {"a"}, "1111");
  put_tensors(directory / "two", {"b"}, "2222");
  put_index(directory.path(), R"({"a":"one","b":"two"})");
  const uintmax_t whole = fs::file_size(directory / "two");
  fs::resize_file(directory / "two", whole - 1);
  EXPECT_THAT(refusal(directory.path()),
              AllOf(HasSubstr((directory / "two").string()), HasSubstr("ends at byte " + std::to_string(whole)),
                    HasSubstr("file has " + std::to_string(whole - 1)), HasSubstr("incomplete download?")));
}

TEST(Checkpoint, EveryDamagedFileIsAProblem) {
  const TestDirectory directory;
  for (const char* name : {"1", "2", "3"}) put_tensors(directory / name, {std::string("t") + name}, "xyz");
  put_index(directory.path(), R"({"t1":"1","t2":"2","t3":"3","t4":"4"})");
  fs::resize_file(directory / "1", 20);
  fs::resize_file(directory / "3", 30);
  std::vector<std::string> found;
  for (const Error& problem : Checkpoint::problems(directory.path())) found.emplace_back(problem.what());
  EXPECT_THAT(found,
              testing::ElementsAre(HasSubstr("1 of 4 files"), HasSubstr("file has 20"), HasSubstr("file has 30")));
  EXPECT_EQ(found.front(), refusal(directory.path()));
  for (const char* name : {"1", "3", "4"}) {
    fs::remove(directory / name);
    put_tensors(directory / name, {std::string("t") + name}, "xyz");
  }
  EXPECT_TRUE(Checkpoint::problems(directory.path()).empty());
}

TEST(Checkpoint, WhatIsNoModelDirectoryIsToldApart) {
  const TestDirectory directory;
  EXPECT_THAT(refusal(directory / "absent"), HasSubstr("no such directory"));
  put_file(directory / "file", "");
  EXPECT_THAT(refusal(directory / "file"), HasSubstr("a file, not a directory"));
  EXPECT_THAT(refusal(directory / "file" / "below"), HasSubstr("no such directory"));
  const auto holding = [&](const std::vector<std::string>& names) {
    fs::remove_all(directory / "d");
    fs::create_directory(directory / "d");
    for (const std::string& name : names) put_file(directory / "d" / name, "x");
    return refusal(directory / "d");
  };
  EXPECT_THAT(holding({}), HasSubstr("is this a model directory?"));
  EXPECT_THAT(holding({"config.json"}), HasSubstr("no model.safetensors and no model.safetensors.index.json"));
  EXPECT_THAT(holding({"pytorch_model-00002-of-00002.bin", "pytorch_model-00001-of-00002.bin"}),
              AllOf(HasSubstr("2 .bin file(s), the first pytorch_model-00001"), HasSubstr("convert")));
  EXPECT_THAT(holding({"q4.gguf"}), AllOf(HasSubstr("1 .gguf"), HasSubstr("original Hugging Face directory")));
  EXPECT_THAT(holding({"gptq_model-4bit-128g-00001-of-00002.safetensors"}), HasSubstr("fetch the index too"));
  EXPECT_THAT(holding({"model-00001-of-00002.safetensors"}), AllOf(HasSubstr("1 .safetensors"), HasSubstr("index")));
}

Item item(const std::string& name, int64_t bytes, const std::string& unit = "") {
  return {{name, DType::kU8, {bytes}}, unit};
}

void write_all(CheckpointWriter& writer, const std::vector<Item>& items) {
  for (const Item& each : items)
    writer.write(each.spec.name, bytes_of(std::string(each.spec.bytes(), each.spec.name[0])));
  writer.finish();
}

TEST(CheckpointWriter, OneFileWhileTheBytesFit) {
  const TestDirectory directory;
  const std::vector<Item> items{item("b", 4), item("a", 6)};
  CheckpointWriter writer(directory.path(), items, 10);
  EXPECT_EQ(writer.total_bytes(), 10);
  write_all(writer, items);
  EXPECT_EQ(directory.names(), Names{"model.safetensors"});
  EXPECT_EQ(text_of(Checkpoint(directory.path()).at("b").bytes), "bbbb");
}

TEST(CheckpointWriter, WithoutTensorsAnEmptyFile) {
  const TestDirectory directory;
  CheckpointWriter writer(directory.path(), {}, 10);
  writer.finish();
  EXPECT_TRUE(Checkpoint(directory.path()).tensors().empty());
}

TEST(CheckpointWriter, ShardsAndIndexByteForByte) {
  const TestDirectory directory;
  const std::vector<Item> items{item("b", 4), item("a", 6), item("c", 1)};
  CheckpointWriter writer(directory.path(), items, 10);
  write_all(writer, items);
  EXPECT_EQ(directory.names(), (Names{"model-00001-of-00002.safetensors", "model-00002-of-00002.safetensors",
                                      "model.safetensors.index.json"}));
  EXPECT_EQ(get_file(directory / "model.safetensors.index.json"), R"({
  "metadata": {
    "total_size": 11
  },
  "weight_map": {
    "a": "model-00001-of-00002.safetensors",
    "b": "model-00001-of-00002.safetensors",
    "c": "model-00002-of-00002.safetensors"
  }
}
)");
}

TEST(CheckpointWriter, UnitsStayTogether) {
  const TestDirectory directory;
  const std::vector<Item> items{item("a", 6),      item("b", 3, "u"), item("c", 3, "u"),
                                item("d", 9, "v"), item("e", 9, "v"), item("f", 1)};
  CheckpointWriter writer(directory.path(), items, 10);
  write_all(writer, items);
  const Json index = Json::parse(get_file(directory / "model.safetensors.index.json"), "index");
  std::string shards;
  for (const auto& [name, file] : index.find("weight_map")->as_object("weight_map")) {
    shards += name + file.as_string("file").substr(10, 1) + " ";
  }
  EXPECT_EQ(shards, "a1 b2 c2 d3 e3 f4 ");  // "v" exceeds the limit by itself
}

TEST(CheckpointWriter, AnyCheckpointIsReadBackAndKeepsTheLimit) {
  const uint64_t seed = static_cast<uint64_t>(std::chrono::steady_clock::now().time_since_epoch().count());
  SCOPED_TRACE("seed " + std::to_string(seed));
  Rng rng(seed);
  for (int round = 0; round < 20; ++round) {
    const TestDirectory directory;
    std::vector<Item> items;
    std::map<std::string, std::string> contents;
    for (uint64_t i = 0, count = 1 + rng.below(12); i < count; ++i) {
      items.push_back(item("t" + std::to_string(i), static_cast<int64_t>(rng.below(30))));
      std::string& bytes = contents[items.back().spec.name];
      bytes.resize(static_cast<size_t>(items.back().spec.bytes()));
      for (char& c : bytes) c = static_cast<char>(rng.next());
    }
    const int64_t limit = 30 + static_cast<int64_t>(rng.below(200));
    CheckpointWriter writer(directory.path(), items, limit);
    rng.shuffle(items);
    for (const Item& each : items) writer.write(each.spec.name, bytes_of(contents[each.spec.name]));
    writer.finish();

    const Checkpoint checkpoint(directory.path());
    EXPECT_EQ(checkpoint.total_bytes(), writer.total_bytes());
    ASSERT_EQ(checkpoint.tensors().size(), items.size());
    for (const auto& [name, bytes] : contents) EXPECT_EQ(text_of(checkpoint.at(name).bytes), bytes);
    EXPECT_EQ(checkpoint.files().size() > 1, writer.total_bytes() > limit);
    for (const fs::path& path : checkpoint.files()) {
      int64_t shard_bytes = 0;
      const SafetensorsFile shard(path);
      for (const TensorView& tensor : shard.tensors()) shard_bytes += tensor.spec.bytes();
      EXPECT_LE(shard_bytes, limit);
    }
  }
}

TEST(CheckpointWriter, MisuseIsNamed) {
  const TestDirectory directory;
  const auto misuse = [&](const auto& action) { return message_of(ErrorKind::kInternal, action); };
  EXPECT_THAT(misuse([&] {
                CheckpointWriter(directory.path(), {item("a", 1), item("a", 1)}, 1);
              }),
              HasSubstr("'a' is planned twice"));
  EXPECT_THAT(message_of(ErrorKind::kUsage, [&] { CheckpointWriter(directory.path(), {}, 0); }), HasSubstr("0 bytes"));
  CheckpointWriter writer(directory.path(), {item("a", 1), item("b", 1), item("c", 1)}, 2);
  writer.write("c", bytes_of("c"));  // its shard is complete, synced and closed now
  EXPECT_THAT(misuse([&] { writer.write("c", bytes_of("c")); }), HasSubstr("'c' was written twice"));
  EXPECT_THAT(misuse([&] { writer.write("z", bytes_of("c")); }), HasSubstr("'z' is not part"));
  writer.write("b", bytes_of("b"));
  EXPECT_THAT(misuse([&] { writer.finish(); }), HasSubstr("'a' was never written; 1 of 2"));
  EXPECT_FALSE(fs::exists(directory / "model.safetensors.index.json"));
}

TEST(CheckpointWriter, NothingOfAnInterruptedShardStays) {
  const TestDirectory directory;
  {
    CheckpointWriter writer(directory.path(), {item("a", 1), item("b", 1)}, 100);
    writer.write("a", bytes_of("a"));
  }
  EXPECT_EQ(directory.names(), Names{});
}

}  // namespace
}  // namespace hesse
