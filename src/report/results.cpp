// Results of the commands that only look, as JSON.
#include "io/json.h"
#include "report/report.h"
#include "report/utf8.h"

namespace hesse {
namespace {

Json text(std::string_view value) { return Json(valid_utf8(value)); }

template <class Integer>
Json list(const std::vector<Integer>& values) {
  Json out = Json::array();
  for (const Integer value : values) out.push_back(Json(static_cast<int64_t>(value)));
  return out;
}

Json linear_json(const LinearInfo& linear) {
  return Json::Object{{"name", text(linear.name)},
                      {"layer", linear.layer},
                      {"out", linear.out},
                      {"in", linear.in},
                      {"sharing", text(linear.sharing)}};
}

Json tensor_json(const TensorInfo& tensor) {
  return Json::Object{{"name", text(tensor.name)},
                      {"dtype", text(tensor.dtype)},
                      {"shape", list(tensor.shape)},
                      {"bytes", tensor.bytes}};
}

Json tokenized_json(const TokenizedText& tokenized) {
  Json ids = Json::array(), pieces = Json::array(), offsets = Json::array(), char_offsets = Json::array();
  for (const TokenPiece& token : tokenized.tokens) {
    ids.push_back(int64_t{token.id});
    pieces.push_back(text(token.piece));
    offsets.push_back(Json::Array{token.begin, token.end});
    char_offsets.push_back(Json::Array{token.begin_char, token.end_char});
  }
  return Json::Object{{"name", text(tokenized.name)},  {"text", text(tokenized.text)},
                      {"ids", std::move(ids)},         {"pieces", std::move(pieces)},
                      {"offsets", std::move(offsets)}, {"char_offsets", std::move(char_offsets)}};
}

Json texts(const std::vector<std::string>& values) {
  Json out = Json::array();
  for (const std::string& value : values) out.push_back(text(value));
  return out;
}

}  // namespace

std::string to_json(const TokenizeResult& result) {
  Json texts = Json::array();
  for (const TokenizedText& tokenized : result.texts) texts.push_back(tokenized_json(tokenized));
  const Json root =
      Json::Object{{"schema", "hesse-tokenize/1"}, {"vocabulary", result.vocabulary}, {"texts", std::move(texts)}};
  return root.dump(2);
}

std::string to_json(const std::vector<FamilyInfo>& families) {
  Json rows = Json::array();
  for (const FamilyInfo& family : families) {
    Json sharing = Json::array();
    for (const std::vector<std::string>& group : family.sharing) sharing.push_back(texts(group));
    rows.push_back(Json::Object{{"name", text(family.name)},
                                {"model_types", texts(family.model_types)},
                                {"sharing", std::move(sharing)},
                                {"notes", text(family.notes)},
                                {"tested_with", text(family.tested_with)}});
  }
  return Json(Json::Object{{"schema", "hesse-families/1"}, {"families", std::move(rows)}}).dump(2);
}

std::string to_json(const GenerateResult& result) {
  const Json root =
      Json::Object{{"schema", "hesse-generate/1"}, {"text", text(result.text)}, {"prompt_ids", list(result.prompt_ids)},
                   {"ids", list(result.ids)},      {"stop", text(result.stop)}, {"seconds", result.seconds}};
  return root.dump(2);
}

std::string to_json(const ModelInfo& info) {
  Json linears = Json::array();
  for (const LinearInfo& linear : info.linears) linears.push_back(linear_json(linear));
  Json tensors = Json::array();
  for (const TensorInfo& tensor : info.tensors) tensors.push_back(tensor_json(tensor));
  const Json root = Json::Object{{"schema", "hesse-inspect/1"},
                                 {"family", text(info.family)},
                                 {"format", text(info.format)},
                                 {"layers", info.layers},
                                 {"hidden", info.hidden},
                                 {"intermediate", info.intermediate},
                                 {"heads", info.heads},
                                 {"kv_heads", info.kv_heads},
                                 {"head_dim", info.head_dim},
                                 {"vocab", info.vocab},
                                 {"max_positions", info.max_positions},
                                 {"rope", text(info.rope)},
                                 {"tied_head", info.tied_head},
                                 {"parameters", info.parameters},
                                 {"bytes", info.bytes},
                                 {"group_sizes", list(info.group_sizes)},
                                 {"linears", std::move(linears)},
                                 {"tensors", std::move(tensors)}};
  return root.dump(2);
}

}  // namespace hesse
