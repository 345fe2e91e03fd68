#include "run/model_files.h"

#include <algorithm>
#include <set>
#include <string_view>

#include "io/file.h"
#include "run/work_directory.h"

namespace hesse {
namespace {

namespace fs = std::filesystem;

// Weights in any format, indexes and what a run writes itself stay behind; all else belongs to the model.
bool is_copied(const fs::path& file) {
  static const std::set<std::string> kWeights = {".safetensors", ".bin", ".pt",   ".pth",    ".ckpt",
                                                 ".gguf",        ".h5",  ".onnx", ".msgpack"};
  static const std::set<std::string> kOwn = {"config.json",    "quantize_config.json", "quant_config.json",
                                             "hesse-run.json", "hesse-report.html",    "hesse-convert.json",
                                             "quant_log.csv"};
  const std::string name = file.filename().string();
  return kWeights.count(file.extension().string()) == 0 && kOwn.count(name) == 0 && !name.ends_with(".index.json");
}

bool is_entered(const fs::path& folder) {
  const std::string name = folder.filename().string();
  return name.front() != '.' && name != "original" && name != "onnx" && !is_work_directory(folder);
}

}  // namespace

std::vector<fs::path> files_beside_weights(const fs::path& directory) {
  std::vector<fs::path> files;
  for (auto entry = fs::recursive_directory_iterator(directory); entry != fs::recursive_directory_iterator(); ++entry) {
    if (entry->is_directory()) {
      if (entry->is_symlink() || !is_entered(entry->path())) entry.disable_recursion_pending();
    } else if (entry->is_regular_file() && is_copied(entry->path())) {
      files.push_back(fs::relative(entry->path(), directory));
    }
  }
  std::sort(files.begin(), files.end());
  return files;
}

void copy_files_beside_weights(const fs::path& from, const fs::path& to) {
  for (const fs::path& file : files_beside_weights(from)) {
    make_directories((to / file).parent_path());
    copy_file_synced(from / file, to / file);
  }
}

Json without(const Json& config, std::string_view key) {
  Json::Object members = config.as_object("config.json");
  std::erase_if(members, [&](const Json::Member& member) { return member.first == key; });
  return members;
}

void set_type(Json& config, const ExportFormat& format) {
  const char* type = format.name() == "fp16" ? "float16" : "bfloat16";
  for (const char* key : {"dtype", "torch_dtype"}) {
    if (config.find(key) != nullptr) config.set(key, type);
  }
  const Json* text = config.find_value("text_config");
  if (text == nullptr || !text->is_object()) return;
  Json inner = *text;
  set_type(inner, format);
  config.set("text_config", std::move(inner));
}

std::vector<std::string> plain_modules(std::vector<std::string> matrices, const std::vector<std::string>& packed) {
  constexpr std::string_view kWeight = ".weight";
  const std::set<std::string> replaced(packed.begin(), packed.end());
  std::vector<std::string> modules;
  std::sort(matrices.begin(), matrices.end());
  for (const std::string& name : matrices) {
    if (!name.ends_with(kWeight)) continue;
    std::string module = name.substr(0, name.size() - kWeight.size());
    if (replaced.count(module) == 0) modules.push_back(std::move(module));
  }
  return modules;
}

std::vector<std::string> plain_modules(const Checkpoint& checkpoint, const std::vector<std::string>& packed) {
  std::vector<std::string> matrices;
  for (const TensorView* tensor : checkpoint.tensors()) {
    if (tensor->spec.shape.size() == 2) matrices.push_back(tensor->spec.name);
  }
  return plain_modules(std::move(matrices), packed);
}

}  // namespace hesse
