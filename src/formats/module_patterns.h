// Regular expressions over the names of modules, as the configurations of loaders hold them.
#pragma once

#include <string>
#include <utility>
#include <vector>

#include "formats/format.h"

namespace hesse {

// Anchored at both ends, one for all neighbours in the list with the same parent, in the order of the list. They also
// take the names under which vLLM and SGLang fuse linears, for which these engines ask:
// "^model\.layers\.3\.mlp\.(gate_proj|up_proj|gate_up_proj)$". Sources: docs/FORMATS.md.
std::vector<std::string> module_patterns(const std::vector<std::string>& modules);

// The same of linears that are packed alike: the experts of a layer are one, "^model\.layers\.3\.mlp\.experts(\..*)?$",
// as engines have them.
std::vector<std::string> packed_patterns(const std::vector<std::string>& modules);

// The modules of each spec, in the order in which the specs first occur.
std::vector<std::pair<LinearSpec, std::vector<std::string>>> modules_by_spec(const std::vector<PackedModule>& modules);

}  // namespace hesse
