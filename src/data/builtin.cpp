// The texts of --calib builtin:NAME, kept in the program itself: an installed tool and a static library need no folder.
// What they are and where they come from: docs/DATA.md.
#include <string_view>
#include <vector>

#include "data/sources.h"

// The assembler includes the file as it is; no compiler reads a megabyte of initializers.
#define HESSE_EMBED(name, file)                         \
  __asm__(                                              \
      ".pushsection .rodata, \"a\", %progbits\n"        \
      ".global hesse_builtin_" #name                    \
      "_begin\n"                                        \
      ".hidden hesse_builtin_" #name                    \
      "_begin\n"                                        \
      "hesse_builtin_" #name                            \
      "_begin:\n"                                       \
      ".incbin \"" file                                 \
      "\"\n"                                            \
      ".global hesse_builtin_" #name                    \
      "_end\n"                                          \
      ".hidden hesse_builtin_" #name                    \
      "_end\n"                                          \
      "hesse_builtin_" #name                            \
      "_end:\n"                                         \
      ".byte 0\n"                                       \
      ".popsection\n");                                 \
  extern "C" const char hesse_builtin_##name##_begin[]; \
  extern "C" const char hesse_builtin_##name##_end[]

HESSE_EMBED(general, HESSE_SOURCE_TREE "/models/tiny-llama/calibration.txt");
HESSE_EMBED(code, HESSE_SOURCE_TREE "/src/data/builtin/code.jsonl");
HESSE_EMBED(chat, HESSE_SOURCE_TREE "/src/data/builtin/chat.jsonl");
HESSE_EMBED(multilingual, HESSE_SOURCE_TREE "/src/data/builtin/multilingual.jsonl");

namespace hesse {
namespace {

std::string_view between(const char* begin, const char* end) { return {begin, static_cast<size_t>(end - begin)}; }

}  // namespace

const std::vector<BuiltinText>& builtin_texts() {
  static const std::vector<BuiltinText> texts = {
      {"general", between(hesse_builtin_general_begin, hesse_builtin_general_end), false},
      {"code", between(hesse_builtin_code_begin, hesse_builtin_code_end), true},
      {"chat", between(hesse_builtin_chat_begin, hesse_builtin_chat_end), true},
      {"multilingual", between(hesse_builtin_multilingual_begin, hesse_builtin_multilingual_end), true}};
  return texts;
}

}  // namespace hesse
