#include "report/cost.h"

#include "report/utf8.h"

namespace hesse {

Json work_json(const Work& work) {
  return Json::Object{{"linears", work.linears}, {"attention", work.attention}, {"hessian", work.hessian},
                      {"cross", work.cross},     {"factor", work.factor},       {"solve", work.solve}};
}

Json phases_json(const std::vector<PhaseTime>& phases) {
  Json list = Json::array();
  for (const PhaseTime& phase : phases) {
    list.push_back(Json::Object{{"name", Json(valid_utf8(phase.name))}, {"seconds", phase.seconds}});
  }
  return list;
}

}  // namespace hesse
