// Speed of tokenizers on plain English, one thread: the demo model's, and those of the model directories that are
// given; a file among them is the text. Whether ids are right is for tests and bench/tokenizer_speed.py.
//   tokenizer_bench [--benchmark_...] [TEXT] [MODEL_DIR...]
#include <filesystem>
#include <memory>
#include <string>
#include <vector>

#include "bench.h"
#include "io/file.h"
#include "tokenizer/tokenizer.h"

namespace hesse {
namespace {

namespace fs = std::filesystem;

const fs::path kDemo = fs::path(HESSE_SOURCE_DIR) / "models/tiny-llama";

void run_encode(benchmark::State& state, const Tokenizer& tokenizer, const std::string& text) {
  std::vector<int32_t> ids;
  for (auto _ : state) {
    ids = tokenizer.encode(text, Tokenizer::SpecialTokens::kNone);
    benchmark::DoNotOptimize(ids.data());
  }
  if (ids.empty()) return state.SkipWithError("no ids");
  state.SetBytesProcessed(state.iterations() * static_cast<int64_t>(text.size()));
  state.counters["bytes/token"] = static_cast<double>(text.size()) / static_cast<double>(ids.size());
}

void run_decode(benchmark::State& state, const Tokenizer& tokenizer, const std::string& text) {
  const std::vector<int32_t> ids = tokenizer.encode(text, Tokenizer::SpecialTokens::kNone);
  for (auto _ : state) benchmark::DoNotOptimize(tokenizer.decode(ids, false));
  state.SetBytesProcessed(state.iterations() * static_cast<int64_t>(text.size()));
}

std::string name_of(const fs::path& directory) {
  const fs::path path = fs::absolute(directory).lexically_normal();
  return (path.has_filename() ? path : path.parent_path()).filename().string();
}

void register_tokenizer(const fs::path& directory, const std::string& text) {
  const auto tokenizer = std::make_shared<Tokenizer>(Tokenizer::from_directory(directory));
  const std::string name = name_of(directory);
  benchmark::RegisterBenchmark(("encode/" + name).c_str(), [=](benchmark::State& state) {
    run_encode(state, *tokenizer, text);
  })->Unit(benchmark::kMillisecond);
  benchmark::RegisterBenchmark(("decode/" + name).c_str(), [=](benchmark::State& state) {
    run_decode(state, *tokenizer, text);
  })->Unit(benchmark::kMillisecond);
}

}  // namespace
}  // namespace hesse

int main(int argc, char** argv) {
  benchmark::Initialize(&argc, argv);
  std::string text = hesse::read_text_file(hesse::kDemo / "calibration.txt");
  std::vector<std::filesystem::path> directories = {hesse::kDemo};
  for (int i = 1; i < argc; ++i) {
    if (std::filesystem::is_directory(argv[i])) {
      directories.emplace_back(argv[i]);
    } else {
      text = hesse::read_text_file(argv[i]);
    }
  }
  for (const std::filesystem::path& directory : directories) hesse::register_tokenizer(directory, text);
  benchmark::RunSpecifiedBenchmarks();
  return 0;
}
