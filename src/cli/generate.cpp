#include <fmt/format.h>

#include "cli/command.h"
#include "cli/console.h"
#include "cli/text.h"
#include "hesse/api.h"

namespace hesse {
namespace {

const Manual kManual = {
    "generate",
    "text from a model",
    "MODEL --prompt TEXT [flags]",
    "  hesse generate Llama-3.2-1B-4bit --prompt \"Once upon a time\"\n"
    "  hesse generate MODEL --prompt \"The capital of France is\" --temperature 0 --max-tokens 8\n"
    "      always the most likely token: the same text every time\n"
    "  hesse generate Llama-3.2-1B-Instruct-4bit --chat --system \"Be brief.\" --prompt \"Why is the sky blue?\"\n"
    "      the prompt as a message, in the chat template of the model\n",
};

// Writes the prompt, then the text as it comes.
class Stream : public Console {
 public:
  Stream(const Manner& manner, const std::string& prompt) : Console(manner), prompt_(prompt) {}

  void on_progress(const Progress& progress) override {
    if (!begun_) Console::on_progress(progress);
  }
  void on_text(std::string_view text) override {
    if (manner().json) return;
    begin();
    output(text);
  }
  void begin() {
    if (!begun_) output(prompt_);
    begun_ = true;
  }
  // Also when the job was stopped: the next line of the terminal is not ours.
  void end() {
    if (begun_) output("\n");
  }

 private:
  const std::string& prompt_;
  bool begun_ = false;
};

GenerateResult stream_text(const GenerateOptions& options, Stream& stream) {
  try {
    return generate(options, stream);
  } catch (const Error&) {
    stream.end();
    throw;
  }
}

}  // namespace

int run_generate(const Arguments& arguments) {
  GenerateOptions options;
  Manner manner;
  if (!parse_command(kManual, arguments, options, manner)) return kExitFine;
  const std::string shown = options.chat ? std::string() : options.prompt;  // an answer does not go on from it
  Stream stream(manner, shown);
  warn_about_environment(stream, options.threads);
  const GenerateResult result = stream_text(options, stream);
  if (manner.json) {
    stream.output(to_json(result) + '\n');
  } else {
    stream.begin();
    stream.end();
  }
  const int64_t made = static_cast<int64_t>(result.ids.size());
  const double rate = result.seconds > 0 ? static_cast<double>(made) / result.seconds : 0;
  stream.detail(fmt::format("{} in {} ({:.1f} tokens/s), ended by: {}", counted(made, "token"),
                            format_duration(result.seconds), rate, result.stop));
  return kExitFine;
}

}  // namespace hesse
