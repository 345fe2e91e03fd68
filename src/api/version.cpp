#include "hesse/api.h"

namespace hesse {

std::string version() { return HESSE_VERSION; }

}  // namespace hesse
