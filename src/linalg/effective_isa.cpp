#include <dnnl.h>
#include <dnnl_debug.h>

#include "linalg/gemm.h"

namespace hesse {

std::string onednn_isa() {
  const std::string name = dnnl_cpu_isa2str(dnnl_get_effective_cpu_isa());
  const std::string prefix = "cpu_isa_";
  return name.rfind(prefix, 0) == 0 ? name.substr(prefix.size()) : name;
}

}  // namespace hesse
