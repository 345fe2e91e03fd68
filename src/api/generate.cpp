#include "api/problems.h"
#include "api/text_maker.h"
#include "base/process.h"
#include "base/threads.h"
#include "hesse/api.h"

namespace hesse {

GenerateResult generate(const GenerateOptions& options, Listener& listener) {
  require_no_problems(options);
  set_threads(options.threads);
  const Stopwatch watch;
  TextMaker maker(options);
  std::vector<int32_t> ids = maker.ids_of(options.prompt);
  maker.prepare(static_cast<int64_t>(ids.size()), listener);
  GenerateResult result = maker.make(std::move(ids), listener);
  result.seconds = watch.seconds();
  return result;
}

}  // namespace hesse
