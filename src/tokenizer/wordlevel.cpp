#include "tokenizer/wordlevel.h"

namespace hesse {

WordLevelModel::WordLevelModel(const Json& model, const std::string& where)
    : vocabulary_(Component{model, where}.required("vocab"), where + ".vocab"), where_(where) {
  const Component component{model, where};
  unk_token_ = model.find_value("unk_token") == nullptr ? "<unk>" : component.string("unk_token");
}

void WordLevelModel::encode(std::string_view piece, std::vector<int32_t>& ids) const {
  int32_t id = vocabulary_.find(piece);
  if (id < 0) id = vocabulary_.find(unk_token_);
  if (id < 0) {
    Component{Json(), where_}.refuse(
        fmt::format("the word '{}' is not known, and neither is the unk_token '{}'", piece, unk_token_));
  }
  ids.push_back(id);
}

void WordLevelModel::trace(std::string_view piece, std::vector<ModelToken>& tokens) const {
  std::vector<int32_t> ids;
  encode(piece, ids);
  tokens.push_back({ids[0], {0, piece.size()}});
}

}  // namespace hesse
