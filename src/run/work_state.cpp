#include "run/work_state.h"

#include <fmt/format.h>

#include <system_error>
#include <utility>

#include "base/sha256.h"
#include "hesse/error.h"
#include "io/file.h"
#include "io/journal.h"

namespace hesse {
namespace {

namespace fs = std::filesystem;

constexpr const char* kJournal = "journal";

const Json& member(const Json& entry, std::string_view name) {
  if (const Json* value = entry.find(name)) return *value;
  throw Error(ErrorKind::kBadInput, fmt::format("[journal] an entry without \"{}\"", name));
}

Json with_kind(const char* kind, const Json& fields) {
  Json entry = Json::object();
  entry.set("kind", kind);
  for (const auto& [name, value] : fields.as_object("entry")) entry.set(name, value);
  return entry;
}

bool is_whole(const fs::path& file, const FileSum& sum) {
  std::error_code error;
  if (!fs::is_regular_file(file, error) || static_cast<int64_t>(fs::file_size(file, error)) != sum.bytes) return false;
  return sum_of_file(file) == sum;
}

// Takes the entries one by one.
class Replay {
 public:
  Replay(const fs::path& directory, const std::vector<UnitPlace>& units, bool check_files)
      : directory_(directory), places_(units), check_files_(check_files) {}

  // False, or Error(kBadInput): the entry is of no use, nor is what follows it.
  bool take(const Json& entry) {
    const std::string& kind = member(entry, "kind").as_string("kind");
    if (kind == "run") return take_run(entry);
    if (state_.sessions == 0) return false;
    if (kind == "session") return take_session(entry);
    if (kind == "unit") return take_unit(unit_from_json(entry));
    if (kind == "streams") return take_snapshot(entry);
    return kind == "result";
  }

  WorkState finish() {
    state_.seconds += session_seconds_;
    if (state_.snapshot && check_files_ && !is_whole(directory_ / state_.snapshot->file, state_.snapshot->sum))
      state_.snapshot.reset();
    return std::move(state_);
  }

 private:
  bool take_run(const Json& entry) {
    if (state_.sessions++ > 0) return false;
    state_.decides = facts_from_json(member(entry, "decides"));
    state_.arithmetic = facts_from_json(member(entry, "arithmetic"));
    return true;
  }
  bool take_session(const Json& entry) {
    state_.arithmetic = facts_from_json(member(entry, "arithmetic"));
    ++state_.sessions;
    state_.seconds += std::exchange(session_seconds_, 0.0);
    return true;
  }
  bool take_unit(Unit unit) {
    const size_t index = state_.units.size();
    if (index >= places_.size() || unit.place != places_[index]) return false;
    if (check_files_ && !is_whole(directory_ / unit.file, unit.sum)) return false;
    session_seconds_ = unit.seconds;
    state_.units.push_back(std::move(unit));
    return true;
  }
  // Of several the last counts: each takes the place of the one before.
  bool take_snapshot(const Json& entry) {
    state_.snapshot = Snapshot{member(entry, "layers").as_int("layers"),
                               member(entry, "file").as_string("file"),
                               {member(entry, "bytes").as_int("bytes"), member(entry, "sha256").as_string("sha256")}};
    return true;
  }

  const fs::path& directory_;
  const std::vector<UnitPlace>& places_;
  bool check_files_;
  WorkState state_;
  double session_seconds_ = 0;
};

std::vector<Json> parse_entries(const JournalContents& journal) {
  std::vector<Json> entries;
  for (const JournalEntry& entry : journal.entries) {
    try {
      entries.push_back(Json::parse(entry.payload, "journal"));
    } catch (const Error&) {
      break;
    }
  }
  return entries;
}

std::optional<std::string> last_result(const std::vector<Json>& entries) {
  std::optional<std::string> result;
  for (const Json& entry : entries) {
    const Json* kind = entry.find("kind");
    const Json* sum = entry.find("sha256");
    if (kind == nullptr || sum == nullptr || kind->dump() != "\"result\"" || !sum->is_string()) continue;
    result = sum->as_string("sha256");
  }
  return result;
}

bool is_marked(const std::optional<std::string>& result, const fs::path& marker) {
  std::error_code error;
  return result && fs::is_regular_file(marker, error) && sha256_hex(read_text_file(marker)) == *result;
}

}  // namespace

bool is_published(const WorkState& state, const fs::path& marker) { return is_marked(state.result, marker); }

WorkState read_work_state(const fs::path& directory, const std::vector<UnitPlace>& units, const fs::path& marker) {
  const JournalContents journal = read_journal(directory / kJournal);
  const std::vector<Json> entries = parse_entries(journal);
  const std::optional<std::string> result = last_result(entries);
  Replay replay(directory, units, !is_marked(result, marker));
  size_t used = 0;
  try {
    while (used < entries.size() && replay.take(entries[used])) ++used;
  } catch (const Error& error) {
    if (error.kind() != ErrorKind::kBadInput) throw;
  }
  WorkState state = replay.finish();
  state.result = result;
  state.good_bytes = used > 0 ? journal.entries[used - 1].end : 0;
  state.lost = used < journal.entries.size() || journal.damaged || (used == 0 && journal.file_bytes > 0);
  return state;
}

Json run_entry(const Identity& identity) {
  return with_kind(
      "run", Json::Object{{"decides", facts_json(identity.decides)}, {"arithmetic", facts_json(identity.arithmetic)}});
}

Json session_entry(const Facts& arithmetic) {
  return with_kind("session", Json::Object{{"arithmetic", facts_json(arithmetic)}});
}

Json unit_entry(const Unit& unit) { return with_kind("unit", unit_json(unit)); }

Json snapshot_entry(const Snapshot& snapshot) {
  return with_kind("streams", Json::Object{{"layers", snapshot.layers},
                                           {"file", snapshot.file},
                                           {"bytes", snapshot.sum.bytes},
                                           {"sha256", snapshot.sum.sha256}});
}

Json result_entry(const std::string& sha256) { return with_kind("result", Json::Object{{"sha256", sha256}}); }

}  // namespace hesse
