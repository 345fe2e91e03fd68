// THE TABLE of engines and their kernels: what they ask of a result, as data, and of which families they ask more.
// plan/loaders.cpp reads it, and `make interop` compares what it says with what loaders do.
#pragma once

#include <cstdint>
#include <span>
#include <string_view>
#include <vector>

namespace hesse {

enum class SignedScales { kTested, kUntested };       // negative ones, in a test of ours
enum class ZeroVersions { kBoth, kFirst, kDepends };  // formats gptq and gptq_v2; v2 not, or not in every release

// Of linears of experts that lie one by one. kRead: in a test of ours; kUntested, kAsInFiles: not known, or not, of
// families whose own files hold the experts of a layer as one tensor; kNotRead: the engine makes one tensor of all,
// whatever the family's files have.
enum class ExpertsApart { kRead, kUntested, kAsInFiles, kNotRead };

// Of a head that is quantized. kRead: its source has code for it, or it is in a test of ours.
enum class PackedHead { kRead, kUntested, kNotRead };

// One kernel of one engine. Steps: what the sizes that one device holds must be multiples of; 0: what packing needs.
struct LoaderRule {
  std::string_view engine, kernel;
  std::vector<std::string_view> formats = {"gptq", "gptq_v2"};
  std::vector<int> bits;
  bool symmetric_only = false;
  std::vector<int> asymmetric_bits = {};  // empty: as bits
  std::vector<int64_t> group_sizes = {};  // empty: any; -1 is not listed
  bool no_whole_row = false;              // it does not have -1
  bool power_of_two = false;
  bool ragged = false;  // a shorter last group
  int64_t in_step = 1;
  int64_t out_step = 1;
  bool pads = false;        // newer releases fill up to in_step and out_step by themselves
  int64_t expert_step = 0;  // of the inner width of experts, at least a group; 0: as other linears
  ExpertsApart experts_apart = ExpertsApart::kUntested;
  PackedHead head = PackedHead::kUntested;
  bool f16_only = false;
  ZeroVersions versions = ZeroVersions::kBoth;
  SignedScales scales = SignedScales::kUntested;
  bool one_file = false;  // no shards
  bool cuts = false;      // tensor parallelism
  bool mixes = false;     // linears that differ in bits or group size
  std::string_view note = {};
  std::string_view source, date;
};

std::span<const LoaderRule> loader_rules();

// What an engine does to families, whoever wrote the files: its own code knows them by name, so a row does too.
struct FamilyLimit {
  std::string_view engine;
  std::vector<std::string_view> formats;
  std::vector<std::string_view> model_types;  // as config.json names the family
  std::string_view why;
  std::string_view source, date;
};

std::span<const FamilyLimit> family_limits();

}  // namespace hesse
