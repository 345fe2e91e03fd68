// What a caller can ask for: one plain struct a command, the default beside the field. The visitor below each struct
// lists its fields once, for parsing, help, echo and the record, so that they cannot drift apart.
#pragma once

#include <cstdint>
#include <string>
#include <type_traits>
#include <vector>

namespace hesse {

struct QuantizeOptions {
  std::string model;                     // Hugging Face directory, full precision
  std::string as = {};                   // family of a model whose model_type is unknown; empty: that of config.json
  std::string output;                    // directory to make
  std::vector<std::string> calibration;  // sources, each with a weight behind a colon or without: docs/DATA.md
  std::string preset = "balanced";       // where the fields marked * came from: see with_preset()
  int bits = 4;                          // 2, 3, 4 or 8
  int64_t group_size = 128;              // inputs that share a scale; -1: a whole row; 0: chosen by the widths
  bool symmetric = true;                 // false: a zero point a group
  std::string format = "auto";   // of the result: gptq, or gptq_v2 when asymmetric; docs/FORMATS.md has the others
  int64_t pad_intermediate = 0;  // zero channels up to this width of the MLPs; 0: none; -1: as many as help
  std::string recipe = {};       // file of rules for single linears: docs/RECIPES.md
  double bits_target = 0;        // bits a weight, scales and zero points counted; 0: `bits` for all
  std::string bits_choices = "2,3,4,8";   // of which bits_target may take
  int64_t protect = 0;                    // parts with the largest predicted damage that get 8 bits
  std::string measurement = {};           // file of what was measured for the two; empty: OUT.hesse-measurement.json
  int lm_head = 0;                        // bits of the head, the linear that makes logits; 0: it stays in 16 bit
  bool print_recipe = false;              // of the tool: show what is decided for every linear, and stop
  std::string method = "gptq";            // or "rtn"
  int64_t samples = 128;                  // * calibration windows
  int64_t length = 512;                   // tokens a window
  std::string bos = "never";              // begin every window with BOS: "auto" (as the tokenizer has it), "always"
  bool pack = true;                       // documents stand behind each other; false: a window is of one document
  double random_share = 0;                // of the windows, made of random tokens
  uint64_t seed = 0;                      // which windows are taken when there are more than `samples`
  double damping = 0.01;                  // * lambda / mean diag(H), raised by itself on failure; 0: chosen by data
  std::string order = "groups";           // * of the columns: "groups", "activation" or "file"
  int64_t joint = 16;                     // * grids of a group that are judged by solving it; 1: none
  int64_t sweeps = 4;                     // * passes of descent over scales and codes after the solve
  double shift = 0.8;                     // * how far targets follow what earlier layers changed; 0 and 0: one stream
  double residual = 0.8;                  // * the same for the drift of the residual stream (o and down)
  double ridge = 5;                       // * damping of shift and residual, times in / tokens
  std::string scale_search = "weighted";  // * or "minmax"
  bool positive_scales = false;           // * never write negative scales (some loaders might refuse them)
  std::string on_nonfinite = "stop";      // weights that are not finite: stop before any work, or "skip-module"
  double max_nonfinite = 0.05;            // share of the tokens that may be left out for values that are not finite
  double max_early_loss = 0;              // largest loss (LinearRecord::loss) in the first 3 layers; 0: no limit
  bool strict = false;                    // an error: to round a linear in place of solving it, a broken line of JSONL
  double memory = 0;                      // GB the run may take; 0: four fifths of what is available
  double hessian_memory = 0;              // GB for the Hessians of one stage; 0: half of the memory of this machine
  double shard_size = 5.0;                // GB a weight file at most
  bool hub_layout = false;                // add what a page on a hub needs: a header in README.md, .gitattributes
  std::string compute = "auto";           // inputs of matrix products: "f32", "bf16", or bf16 where it is native
  bool overwrite = false;                 // replace an output directory that Hesse wrote
  bool check = true;                      // before work, run the model on a few tokens: is the tokenizer its own?
  std::string layers;                     // "0-3,8": only these, counted from 0; the others stay as they are
  std::vector<std::string> redo;          // change the result in `output`: only linears of these names ("*.mlp.*")
  bool trial = false;                     // quantize three layers on a few windows, write nothing, tell what to expect
  bool resume = true;                     // go on with an interrupted run of the same command; false: start afresh
  double disk = 0;                        // GB on disk at most for activations to resume from; 0: half of what is free
  int threads = 0;                        // 0: all processors this process may use

  // Options as "balanced", "fast" (one stream), "best" (twice the windows, candidates and sweeps) or "classic" (GPTQ as
  // AutoGPTQ has it) set the fields marked *; every other field as above. Error(kUsage) lists the names.
  static QuantizeOptions with_preset(const std::string& name);

  // By what every linear would lose, which is measured first.
  bool chooses_bits() const { return bits_target > 0 || protect > 0; }

  // Everything that cannot be meant, one sentence each; empty when usable. Does not touch the file system.
  std::vector<std::string> problems() const;
};

// Calls visit(name, field, help) for every option that has a flag. `Self` is QuantizeOptions or const QuantizeOptions.
template <class Self, class Visitor>
void visit_options(Self& o, Visitor&& visit) requires requires {
  o.damping;
}
{
  visit("as", o.as, "family of a model_type that is not known: see hesse inspect --families");
  visit("output", o.output, "directory to make; an ordinary Hugging Face checkpoint");
  visit("calib", o.calibration,
        "calibration text: text, JSONL, either as .gz or .zst, directories, or builtin:general, code, chat, "
        "multilingual; FILE:2 takes twice as much of it");
  visit("preset", o.preset, "fast (half the time), balanced, best (twice the time), or classic (as AutoGPTQ)");
  visit("bits", o.bits, "bits a weight: 2, 3, 4 or 8");
  visit("group-size", o.group_size, "inputs that share a scale; -1: a whole row; auto: the largest that fits all");
  visit("sym", o.symmetric, "one fixed zero point; --asym: one a group");
  visit("format", o.format,
        "gptq, gptq_v2, compressed-tensors, awq, or the plain numbers fp16 and bf16; auto: gptq (--asym: gptq_v2)");
  visit("pad-intermediate", o.pad_intermediate,
        "widen the MLPs with zero channels to this many, or auto: groups and 8 devices divide; off: as they are");
  visit("recipe", o.recipe, "other bits, groups or damping for single linears: TOML, or a quantize_config.json");
  visit("bits-target", o.bits_target, "bits a weight on average, spent where they help most; 0: --bits for all");
  visit("bits-choices", o.bits_choices, "the bits that --bits-target may give: 4,8 is what the newest engines load");
  visit("protect", o.protect, "give 8 bits to this many parts with the largest predicted damage");
  visit("measurement", o.measurement, "file of what --bits-target or --protect measured, made or taken again");
  visit("lm-head", o.lm_head, "bits of the head where it is not tied to the embedding: 8 is safe; 0: in 16 bit");
  visit("print-recipe", o.print_recipe, "show what is decided for every linear, and stop");
  visit("method", o.method, "gptq, or rtn (round to nearest, the baseline)");
  visit("samples", o.samples, "calibration windows");
  visit("length", o.length, "tokens a calibration window");
  visit("bos", o.bos, "begin every calibration window with BOS: never, always, or auto (as the tokenizer has it)");
  visit("pack", o.pack, "documents stand behind each other; --no-pack: a window is of one document alone");
  visit("random-share", o.random_share, "share of the windows that are made of random tokens, 0 to 1");
  visit("seed", o.seed, "choice of the windows when the text has more than --samples");
  visit("damp", o.damping, "lambda as a share of mean diag(H), raised by itself on failure; auto: by held-out text");
  visit("order", o.order, "of solving: groups (by their mean diag(H)), activation (columns by diag(H)) or file");
  visit("joint", o.joint, "grids of a group that are judged by solving the group on each; 1: none");
  visit("sweeps", o.sweeps, "passes of descent over scales and codes after the solve");
  visit("shift", o.shift, "how far targets follow the inputs of the original model, 0 to 1; both 0: half the time");
  visit("residual", o.residual, "how far o and down follow its residual stream, 0 to 1");
  visit("ridge", o.ridge, "damping of both, times inputs / tokens; not below --damp");
  visit("scale-search", o.scale_search, "weighted (by the pivots of the factor) or minmax");
  visit("positive-scales", o.positive_scales, "never write a negative scale");
  visit("on-nonfinite", o.on_nonfinite, "NaN or infinity in a weight: stop, or skip-module (that linear stays 16-bit)");
  visit("max-nonfinite", o.max_nonfinite, "largest share of tokens to leave out for NaN or infinity in activations");
  visit("max-early-loss", o.max_early_loss, "stop when a linear of the first 3 layers loses more than this; 0: never");
  visit("strict", o.strict, "an error when a linear can only be rounded to nearest, or when a line of JSONL is broken");
  visit("memory", o.memory, "GB of memory that the run may take; 0: four fifths of what is available");
  visit("hessian-memory", o.hessian_memory, "GB for the Hessians of one stage; 0: half of this machine's memory");
  visit("shard-size", o.shard_size, "largest weight file, GB");
  visit("hub-layout", o.hub_layout, "README.md with a header, and .gitattributes: to be uploaded as it is");
  visit("compute", o.compute, "inputs of matrix products: f32, bf16, or auto (bf16 where model and processor have it)");
  visit("overwrite", o.overwrite, "replace an output directory that Hesse wrote");
  visit("check", o.check, "first run the model on a few tokens, to see that its tokenizer belongs to it");
  visit("layers", o.layers, "only these, such as 0-3,8 (from 0, as tensors are named); the others stay 16-bit");
  visit("redo", o.redo, "change the result in OUT: solve the linears of these names again ('model.layers.17.*')");
  visit("trial", o.trial, "the first, a middle and the last layer on a few windows; nothing is written");
  visit("resume", o.resume, "go on with what is in OUT.hesse-work; --no-resume starts afresh");
  visit("disk", o.disk, "GB on disk for activations to resume from, while the run lasts; 0: half of what is free");
  visit("threads", o.threads, "processors to use; 0: all this process may use");
}

// What `quantize` would do with these options; nothing is written.
struct CheckOptions {
  QuantizeOptions quantize;       // `output` and `calibration` may be empty
  bool deep = false;              // read every weight, and run the model however long that takes
  bool sha256 = false;            // of every file; compared with what the download noted
  bool config_only = false;       // plan from config.json alone: no weights, no tokenizer, no text
  std::vector<std::string> text;  // evaluation text: does the calibration text overlap it?

  std::vector<std::string> problems() const;
};

template <class Self, class Visitor>
void visit_options(Self& o, Visitor&& visit) requires requires {
  o.quantize;
}
{
  visit("deep", o.deep, "read every weight, and run the trial however long it takes");
  visit("sha256", o.sha256, "SHA-256 of every file, compared with what the download noted");
  visit("config-only", o.config_only, "plan before a download: config.json alone; MODEL may be that file");
  visit("text", o.text, "evaluation text: tell when the calibration text overlaps it");
  visit_options(o.quantize, visit);
}

struct EvalOptions {
  std::string model;                // full-precision or quantized directory
  std::vector<std::string> others;  // more of them, on the same windows; `model` is then the reference of the ratios
  std::string as = {};              // family of a model whose model_type is unknown
  std::vector<std::string> text;    // UTF-8 text files, joined
  std::string against;            // reference: a model, usually the original, or a file of save_reference; empty: none
  std::string save_reference;     // file to make: what `model` says on these windows; empty: none
  bool attribute = false;         // how much of the KL divergence from `against` each block of `model` causes
  std::vector<std::string> task;  // JSONL files of questions with choices, in place of text: evaluate_tasks()
  int64_t items = 0;              // questions from the beginning of each task; 0: all
  int64_t window = 512;           // tokens; windows do not overlap
  int64_t windows = 0;            // how many from the beginning; 0: all, with attribute 4
  bool like_gptq = false;         // the protocol of the GPTQ papers: windows of 2048 over the whole text, no BOS
  std::string bos = "auto";       // BOS before each window (it is not predicted): as the tokenizer; "always", "never"
  std::string compute = "auto";   // inputs of matrix products: "f32", "bf16"; "auto": f32
  int threads = 0;

  std::vector<std::string> problems() const;
};

template <class Self, class Visitor>
void visit_options(Self& o, Visitor&& visit) requires requires {
  o.windows;
}
{
  visit("as", o.as, "family of a model_type that is not known");
  visit("text", o.text, "text to predict, UTF-8; several files are joined");
  visit("against", o.against, "reference: a model, or a file of --save-reference; also print KL and agreement");
  visit("save-reference", o.save_reference, "file to make: what MODEL says on this text, for --against");
  visit("attribute", o.attribute, "rank the blocks by the KL they cause: each in turn as in --against; 4 windows");
  visit("task", o.task, "JSONL of question, choices and answer, in place of --text: accuracy by likelihood");
  visit("items", o.items, "questions from the beginning of each task; 0: all");
  visit("window", o.window, "tokens a window; windows do not overlap");
  visit("windows", o.windows, "how many windows from the beginning; 0: all");
  visit("like-gptq", o.like_gptq, "as the GPTQ papers: windows of 2048 over the whole text, no BOS");
  visit("bos", o.bos, "put BOS before every window: never, always, or auto (as the tokenizer has it)");
  visit("compute", o.compute, "inputs of matrix products: f32, bf16, or auto (f32, the more exact)");
  visit("threads", o.threads, "processors to use; 0: all this process may use");
}

struct GenerateOptions {
  std::string model;         // full-precision or quantized directory
  std::string as = {};       // family of a model whose model_type is unknown
  std::string prompt;        // UTF-8
  bool chat = false;         // the prompt is a message of the user, put into the model's chat template
  std::string system;        // with chat: the system message in front of it; empty: none
  int64_t max_tokens = 64;   // new tokens at most; ends earlier at the end-of-text token
  double temperature = 0.7;  // 0: always the most likely token
  double top_p = 0.95;       // draw from the most likely tokens that together have this probability
  uint64_t seed = 0;
  std::string compute = "auto";  // inputs of matrix products: "f32", "bf16", or bf16 where it is native
  int threads = 0;

  std::vector<std::string> problems() const;
};

template <class Self, class Visitor>
void visit_options(Self& o, Visitor&& visit) requires requires {
  o.prompt;
}
{
  visit("as", o.as, "family of a model_type that is not known");
  visit("prompt", o.prompt, "text to go on from");
  visit("chat", o.chat, "the prompt is a message of the user: put it into the model's chat template");
  visit("system", o.system, "with --chat: the system message in front of it");
  visit("max-tokens", o.max_tokens, "new tokens at most");
  visit("temperature", o.temperature, "0: always the most likely token");
  visit("top-p", o.top_p, "draw from the most likely tokens that together have this probability");
  visit("seed", o.seed, "seed of the draw");
  visit("compute", o.compute, "inputs of matrix products: f32, bf16, or auto (bf16 where model and processor have it)");
  visit("threads", o.threads, "processors to use; 0: all this process may use");
}

struct CompareOptions {
  std::string model;                // full-precision or quantized directory; the others are marked against it
  std::vector<std::string> others;  // one at least
  std::string as = {};              // family of a model whose model_type is unknown
  std::string prompts;              // file: a prompt a line, or JSONL with "prompt"
  bool chat = false;                // a prompt is a message of the user, put into each model's chat template
  std::string system;               // with chat: the system message in front of it; empty: none
  int64_t max_tokens = 64;          // new tokens at most
  double temperature = 0;           // 0: always the most likely token
  double top_p = 0.95;              // draw from the most likely tokens that together have this probability
  uint64_t seed = 0;                // of the draws, the same for every model; of the order under blind
  std::string html;                 // page to make, after the vote under blind; empty: none
  bool blind = false;               // for the tool: hide which is which and ask for votes
  std::string compute = "auto";     // inputs of matrix products: "f32", "bf16", or bf16 where it is native
  int threads = 0;

  std::vector<std::string> problems() const;
};

template <class Self, class Visitor>
void visit_options(Self& o, Visitor&& visit) requires requires {
  o.prompts;
}
{
  visit("as", o.as, "family of a model_type that is not known");
  visit("prompts", o.prompts, "file with a prompt a line, or JSONL with \"prompt\"");
  visit("chat", o.chat, "a prompt is a message of the user: put it into each model's chat template");
  visit("system", o.system, "with --chat: the system message in front of it");
  visit("max-tokens", o.max_tokens, "new tokens at most");
  visit("temperature", o.temperature, "0: always the most likely token");
  visit("top-p", o.top_p, "draw from the most likely tokens that together have this probability");
  visit("seed", o.seed, "seed of the draws, the same for every model, and of the order under --blind");
  visit("html", o.html, "page to make: the answers side by side, one file");
  visit("blind", o.blind, "hide which answer is whose, ask for a vote each time, and count them");
  visit("compute", o.compute, "inputs of matrix products: f32, bf16, or auto (bf16 where model and processor have it)");
  visit("threads", o.threads, "processors to use; 0: all this process may use");
}

// What `quantize` would calibrate on; no weights are read.
struct DataOptions {
  std::string model;  // directory with the tokenizer
  std::vector<std::string> calibration;
  int64_t samples = 128;
  int64_t length = 512;
  std::string bos = "never";
  bool pack = true;
  double random_share = 0;
  uint64_t seed = 0;
  bool strict = false;  // a broken line of JSONL is an error

  std::vector<std::string> problems() const;
};

template <class Self, class Visitor>
void visit_options(Self& o, Visitor&& visit) requires std::is_same_v<std::remove_const_t<Self>, DataOptions> {
  visit("model", o.model, "model directory: its tokenizer and chat template are used");
  visit("calib", o.calibration, "calibration text, as `hesse quantize` takes it");
  visit("samples", o.samples, "calibration windows");
  visit("length", o.length, "tokens a calibration window");
  visit("bos", o.bos, "begin every window with BOS: never, always, or auto (as the tokenizer has it)");
  visit("pack", o.pack, "documents stand behind each other; --no-pack: a window is of one document alone");
  visit("random-share", o.random_share, "share of the windows that are made of random tokens, 0 to 1");
  visit("seed", o.seed, "choice of the windows when the text has more than --samples");
  visit("strict", o.strict, "an error when a line of JSONL is broken");
}

// A packed model in another format.
struct ConvertOptions {
  std::string model;        // a packed directory, of Hesse or of another tool
  std::string output;       // directory to make
  std::string format;       // of the table: docs/FORMATS.md
  double shard_size = 5.0;  // GB a weight file at most
  bool overwrite = false;   // replace an output directory that `convert` made
  bool hub_layout = false;  // add what a page on a hub needs
  int threads = 0;

  std::vector<std::string> problems() const;
};

template <class Self, class Visitor>
void visit_options(Self& o, Visitor&& visit) requires std::is_same_v<std::remove_const_t<Self>, ConvertOptions> {
  visit("output", o.output, "directory to make");
  visit("format", o.format, "gptq, gptq_v2, compressed-tensors, awq, or the plain numbers fp16 and bf16");
  visit("shard-size", o.shard_size, "largest weight file, GB");
  visit("overwrite", o.overwrite, "replace an output directory that `hesse convert` made");
  visit("hub-layout", o.hub_layout, "with a model card and .gitattributes, to be uploaded as it is");
  visit("threads", o.threads, "processors to use; 0: all this process may use");
}

struct VerifyOptions {
  std::string model;  // a packed directory
  int threads = 0;

  std::vector<std::string> problems() const;
};

template <class Self, class Visitor>
void visit_options(Self& o, Visitor&& visit) requires std::is_same_v<std::remove_const_t<Self>, VerifyOptions> {
  visit("threads", o.threads, "processors to use; 0: all this process may use");
}

// What the record of a result says about it.
struct DiagnoseOptions {
  std::string model;  // the result, or its hesse-run.json
  std::string eval;   // what `hesse eval --json` said of it, best with --against the original; empty: nothing

  std::vector<std::string> problems() const;
};

template <class Self, class Visitor>
void visit_options(Self& o, Visitor&& visit) requires std::is_same_v<std::remove_const_t<Self>, DiagnoseOptions> {
  visit("eval", o.eval, "JSON of `hesse eval OUT --against MODEL --json`: also judge what became of the perplexity");
}

// One page about one run, or about several side by side.
struct ReportOptions {
  std::string model;                // a result, or its hesse-run.json
  std::vector<std::string> others;  // more of them, compared with the first
  std::string output;             // the page; empty: hesse-report.html in the result, of several where the call is made
  std::vector<std::string> eval;  // what `hesse eval --json` said of each, in their order; empty: nothing

  std::vector<std::string> problems() const;
};

template <class Self, class Visitor>
void visit_options(Self& o, Visitor&& visit) requires std::is_same_v<std::remove_const_t<Self>, ReportOptions> {
  visit("output", o.output, "the page to write; default: hesse-report.html in OUT, of several results here");
  visit("eval", o.eval, "JSON of `hesse eval --json`, one file for each result: perplexity on the page");
}

struct InspectOptions {
  std::string model;
  std::string as = {};    // family of a model whose model_type is unknown
  bool families = false;  // the table of families in place of a model: known_families()

  std::vector<std::string> problems() const;
};

template <class Self, class Visitor>
void visit_options(Self& o, Visitor&& visit) requires requires {
  o.families;
}
{
  visit("as", o.as, "family of a model_type that is not known");
  visit("families", o.families, "what can be run: families, their linears, and which of these share an input");
}

struct BenchOptions {
  std::string model;         // full-precision directory whose times are predicted; empty: rates only
  std::string preset;        // predict this one only; empty: fast and balanced
  int bits = 4;              // of the predicted runs
  int64_t group_size = 128;  // likewise
  int64_t samples = 0;       // calibration windows of the predicted runs; 0: as many as the preset takes
  int64_t length = 512;      // tokens a window
  int threads = 0;

  std::vector<std::string> problems() const;
};

template <class Self, class Visitor>
void visit_options(Self& o, Visitor&& visit) requires std::is_same_v<std::remove_const_t<Self>, BenchOptions> {
  visit("model", o.model, "predict the times of this model");
  visit("preset", o.preset, "predict this preset only: fast, balanced, best or classic");
  visit("bits", o.bits, "bits a weight of the predicted runs");
  visit("group-size", o.group_size, "inputs that share a scale, of the predicted runs; -1: a whole row");
  visit("samples", o.samples, "calibration windows of the predicted runs; 0: those of the preset");
  visit("length", o.length, "tokens a calibration window");
  visit("threads", o.threads, "processors to use; 0: all this process may use");
}

// Text to token ids, or ids to text, as the tokenizer of a model does it.
struct TokenizeOptions {
  std::string model;              // directory, or a tokenizer.json or tokenizer.model
  std::string text;               // UTF-8
  std::vector<std::string> file;  // UTF-8 text files, each by itself; in the place of `text`
  std::string decode;             // ids, separated by spaces or commas; in the place of both
  bool special = true;            // the special tokens that the tokenizer puts around a text

  std::vector<std::string> problems() const;
};

template <class Self, class Visitor>
void visit_options(Self& o, Visitor&& visit) requires requires {
  o.decode;
}
{
  visit("text", o.text, "text to take apart");
  visit("file", o.file, "text files to take apart, UTF-8, each by itself");
  visit("decode", o.decode, "token ids, separated by spaces or commas, to put together");
  visit("special", o.special,
        "with the special tokens that the tokenizer puts around a text, such as BOS; shown when ids are put together");
}

}  // namespace hesse
