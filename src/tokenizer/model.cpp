#include "tokenizer/model.h"

#include <array>

#include "tokenizer/bpe.h"
#include "tokenizer/unigram.h"
#include "tokenizer/wordlevel.h"
#include "tokenizer/wordpiece.h"

namespace hesse {
namespace {

using ModelPtr = std::unique_ptr<TokenModel>;

template <class Model>
ModelPtr make(const Component& component) {
  return std::make_unique<Model>(component.json, component.where);
}

constexpr std::array<ComponentType<ModelPtr>, 4> kTypes = {{
    {"BPE", make<BpeModel>},
    {"Unigram", make<UnigramModel>},
    {"WordPiece", make<WordPieceModel>},
    {"WordLevel", make<WordLevelModel>},
}};

// Files of before 2020 have no type; the fields tell.
std::string_view type_without_name(const Json& model) {
  const Json* vocab = model.find("vocab");
  if (model.find("merges") != nullptr) return "BPE";
  if (vocab != nullptr && vocab->is_array()) return "Unigram";
  if (model.find("max_input_chars_per_word") != nullptr) return "WordPiece";
  return "WordLevel";
}

}  // namespace

std::unique_ptr<TokenModel> read_model(const Component& component) {
  if (!component.json.is_object()) component.refuse("the model is no object");
  const Json* type = component.json.find_value("type");
  ModelPtr model;
  if (type != nullptr) {
    model = make_component<ModelPtr>(component, kTypes);
  } else {
    Json named = component.json;
    named.set("type", std::string(type_without_name(component.json)));
    model = make_component<ModelPtr>({named, component.where}, kTypes);
  }
  if (model->vocabulary().entries() == 0) component.refuse("the vocabulary is empty");
  return model;
}

}  // namespace hesse
