// The record and the results as JSON. The members of the record are described in docs/FORMATS.md; a member may be added
// under the same schema, none may change its meaning or its unit. What was not measured, and what is not finite, is
// null.
#pragma once

#include <string>
#include <string_view>
#include <vector>

#include "hesse/evaluation.h"
#include "hesse/events.h"
#include "hesse/types.h"

namespace hesse {

std::string to_json(const RunRecord& record);  // "hesse-run/1"; without folders: paths keep their last part
// The record that such a text was made of. Error(kBadInput) names `where`, and what is wrong with a text of another
// schema, a damaged one, or one of an earlier version that lacks members.
RunRecord record_from_json(std::string_view text, const std::string& where);
std::string to_json(const CheckResult& result);
std::string to_json(const EvalResult& result);
std::string to_json(const TasksResult& result);
std::string to_json(const CompareResult& result);
std::string to_json(const GenerateResult& result);
std::string to_json(const ModelInfo& info);
std::string to_json(const ConvertResult& result);
std::string to_json(const VerifyResult& result);
std::string to_json(const TokenizeResult& result);
std::string to_json(const BenchResult& result);
std::string to_json(const DataResult& result);
std::string to_json(const DiagnosisResult& result);
std::string to_json(const ReportResult& result);
std::string to_json(const std::vector<FamilyInfo>& families);
std::string to_json(const std::vector<LinearSetting>& settings);

// At most `most`, the worst first: by status, then by relative error. Those that were solved and not measured are left
// out.
std::vector<const LinearRecord*> worst_linears(const RunRecord& record, size_t most);
// Of the other linears the errors of single weights are forgotten: the record and its page stay small.
void keep_worst_weight_errors(RunRecord& record);

// Mean over the linears with a measured relative error; -1 when there are none.
double mean_relative_error(const RunRecord& record);

}  // namespace hesse
