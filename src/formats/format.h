// THE TABLE of export formats: how a quantized linear lies in a checkpoint that other programs load.
#pragma once

#include <functional>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "io/checkpoint.h"
#include "io/json.h"
#include "quant/spec.h"

namespace hesse {

struct PackedModule {
  std::string name;
  LinearSpec spec;
};
// The spec that most of them have, of several the first; the standard one where there are none.
LinearSpec most_common_spec(const std::vector<PackedModule>& modules);

// What the configuration object says of the whole model.
struct FormatConfig {
  LinearSpec spec = {};                   // of every packed linear that `packed` does not give another
  std::vector<PackedModule> packed = {};  // layer by layer
  std::vector<std::string> skipped = {};  // modules that a reader expects to be packed too, but have a plain weight
  // All modules with a plain matrix: the skipped ones, the head, embeddings, what is not of the text. For formats whose
  // loaders take every other linear of a model for a packed one.
  std::vector<std::string> plain = {};
  bool act_order = false;         // some group_of is not i / width (dynamic groups); engines are slower then
  std::string head = {};          // the module of the head, where that is packed too
  double damping = 0.01;          // information for readers
  std::string tool_version = {};  // "hesse:0.1.0"
  Json meta = Json::object();     // further members of "meta"; no paths or names of this machine
};

// Receives one finished tensor; the bytes are valid during the call only.
using TensorSink = std::function<void(std::string_view name, std::span<const std::byte> bytes)>;

struct LinearSize {
  int64_t out = 0;
  int64_t in = 0;
};

// What the tensors of a linear depend on.
struct LinearForm {
  int64_t out = 0;
  int64_t in = 0;
  LinearSpec spec = {};
  bool act_order = false;  // its groups do not lie side by side
  bool in_out = false;     // the plain weights of its family lie [in, out]; packed ones never do
};

// Of `linear`, whose groups decide act_order.
LinearForm form_of(const QuantizedLinear& linear);

class ExportFormat {
 public:
  virtual ~ExportFormat() = default;
  virtual std::string_view name() const = 0;  // "gptq", "gptq_v2"
  // Whether read() gives back what was written. False: the weights are stored as plain numbers, and any engine that
  // loads the model itself loads the result.
  virtual bool keeps_codes() const { return true; }

  // Whether the configuration can say that linears differ in bits, group size or symmetry.
  virtual bool mixes() const { return true; }

  // Whether its readers take a packed head.
  virtual bool packs_head() const { return true; }

  // Empty when [out, in] with `spec` can be stored, else why not in one clause with the numbers, for instance
  // "in = 100 is not a multiple of 8 (32 / 4 bits)".
  virtual std::string why_not(int64_t out, int64_t in, const LinearSpec& spec) const = 0;
  // The same of one linear and all that it holds: also groups, codes, scales and zero points without a place in the
  // format.
  virtual std::string why_not(const QuantizedLinear& linear) const = 0;

  // The tensors of the linear `module` (the name in the file without ".weight"), without a bias.
  virtual std::vector<TensorSpec> layout(std::string_view module, const LinearForm& form) const = 0;
  std::vector<TensorSpec> tensors(std::string_view module, int64_t out, int64_t in, const LinearSpec& spec) const {
    return layout(module, {.out = out, .in = in, .spec = spec});
  }
  // Gives every tensor of the linear to `sink`, once. Error(kInternal) for a linear for which why_not() has an answer.
  // A plain weight is [out, in] here.
  virtual void write(std::string_view module, const QuantizedLinear& linear, const TensorSink& sink) const = 0;

  // The object for "quantization_config", null for none; whether it also goes into a file of its own (name or empty).
  virtual Json config(const FormatConfig& config) const = 0;
  virtual std::string_view config_file() const { return ""; }
  // The last parts of the names of a packed linear's tensors; the first is there in all of them. Empty: none is packed.
  virtual std::span<const std::string_view> suffixes() const = 0;
  // Modules that `quantization_config` says have a plain weight, as far as it names them one by one.
  virtual std::vector<std::string> listed_as_plain(const Json& quantization_config) const = 0;

  // Whether a model whose config.json has this "quantization_config" is in this format. Error(kBadInput) when it is a
  // relative that cannot be read, for instance a Marlin file.
  virtual bool recognises(const Json& quantization_config) const = 0;
  // Whether `module` is stored packed in `checkpoint` (else it has a plain ".weight").
  bool has(const Checkpoint& checkpoint, std::string_view module) const;
  // Shape of the packed linear `module`, without reading its codes. Error(kBadInput) when a tensor is missing.
  virtual LinearSize size(const Checkpoint& checkpoint, std::string_view module) const = 0;
  // Reads what write() wrote, and files of other tools in the same format (any g_idx, v1 or v2 zero points). Every
  // shape and value is checked: Error(kBadInput) "[gptq] MODULE: ...". The result can always be dequantized, but files
  // of other tools may hold what write() refuses: scales that are 0 or no halves, zero points 0 and 2^bits.
  virtual QuantizedLinear read(const Checkpoint& checkpoint, std::string_view module,
                               const Json& quantization_config) const = 0;
};

// Every format, in the order in which they are tried on a directory.
std::span<const ExportFormat* const> export_formats();
// By name; Error(kUsage) lists the known ones.
const ExportFormat& export_format(std::string_view name);
// The one in which a run keeps what it has solved, so that it can be read again: `format` itself where it keeps codes.
const ExportFormat& working_format(const ExportFormat& format);
// The packed modules of `checkpoint`, in the order of their names.
std::vector<std::string> packed_modules(const ExportFormat& format, const Checkpoint& checkpoint);
// format.write(), a plain weight in the layout of the file.
void write_form(const ExportFormat& format, std::string_view module, const QuantizedLinear& linear, bool in_out,
                const TensorSink& sink);
// The format of a directory, nullptr for null or absent configuration; Error(kBadInput) for one that cannot be read,
// naming its quant_method.
const ExportFormat* format_of(const Json* quantization_config);

}  // namespace hesse
