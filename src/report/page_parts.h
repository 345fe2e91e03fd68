// The sections of a page, each HTML that may be empty where its numbers were not measured.
#pragma once

#include <cmath>
#include <string>
#include <vector>

#include "report/page.h"

namespace hesse {

// Key numbers of a run, by name, for the top of its page and for the table of a comparison.
struct KeyNumber {
  std::string name;
  std::string shown;   // HTML
  double value = NAN;  // for the difference to another run; NaN: there is none
};
std::vector<KeyNumber> key_numbers(const PageRun& run);

int64_t original_bytes(const RunRecord& record);  // of the weight files; 0: not in the record
std::string verdict_sentences(const PageRun& run, const std::vector<Symptom>& symptoms);
std::string symptoms_table(const std::vector<Symptom>& symptoms);
std::string heat_map(const RunRecord& record);
std::string curves(const RunRecord& record);
std::string worst_table(const RunRecord& record);
std::string weight_errors(const RunRecord& record);
std::string blocks_of_kl(const PageRun& run);  // what each causes of the KL divergence
std::string experts_table(const RunRecord& record);
std::string calibration_table(const RunRecord& record);
std::string times_table(const RunRecord& record);
std::string recipe_table(const RunRecord& record);
std::string loading_table(const RunRecord& record);
std::string record_link(const PageRun& run);

// Mean of a measure over the linears of each layer, as dB where `in_decibels`; NaN where there is none.
std::vector<double> by_layer(const RunRecord& record, double (*measure)(const LinearRecord&), bool in_decibels);
std::vector<std::string> layer_names(const RunRecord& record);

// Every option as name and value, as the record has them.
std::vector<std::pair<std::string, std::string>> options_of(const RunRecord& record);

}  // namespace hesse
