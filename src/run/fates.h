// What becomes of every linear in a run, and so of every stage.
#pragma once

#include <string>

#include "plan/work.h"
#include "run/job.h"

namespace hesse {

enum class Fate {
  kSolve,  // packed by this run
  kSkip,   // not finite: stays as it is, and the record says so
  kKeep,   // packed as in the earlier result
  kLeave,  // not chosen, or not to be packed: stays as it is
};
Fate fate_of(const Job& job, const std::string& linear);
inline bool is_packed(Fate fate) { return fate == Fate::kSolve || fate == Fate::kKeep; }
// Whether this run commits something for it.
inline bool is_worked_on(Fate fate) { return fate == Fate::kSolve || fate == Fate::kSkip; }

// Of a linear that is packed in the result.
LinearSpec spec_in_result(const Job& job, const std::string& linear);

// Of a run from its beginning to the last layer in which it has something to do.
StageParts parts_of(const Job& job);

}  // namespace hesse
