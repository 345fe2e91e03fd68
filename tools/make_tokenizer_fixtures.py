#!/usr/bin/env python3
"""Expected results of Hugging Face's `tokenizers` library, as tests/tokenizer/cases.h reads them.

Needs `pip install tokenizers` (0.23.3 made the files in tests/data/tokenizer). Writes to standard output.

  make_tokenizer_fixtures.py cases DIR [--texts FILE...] [--random N] [--seed S]
      a tokenizer directory on whole files, on their lines, and on N random strings:
        cases models/tiny-llama --random 700 > tests/data/tokenizer/random_tiny_llama.jsonl
      large files are for HESSE_TOKENIZER_CASES=FILE test_tokenizer
  make_tokenizer_fixtures.py components [--random N]
      small invented tokenizers, one for each kind of component, on random strings:
        components --random 12 > tests/data/tokenizer/components.jsonl
  make_tokenizer_fixtures.py components --more [--random N]
      the same for Unigram, WordPiece and WordLevel and what comes with them (needs sentencepiece and transformers):
        components --more --random 12 > tests/data/tokenizer/components_more.jsonl
  make_tokenizer_fixtures.py families FILE... [--vocab N] [--random N] [--lines N] [--whole] [--only NAME] [--save DIR]
      tokenizers with the pipelines of real models, trained on the texts FILE..., on random strings, on the first lines of
      the texts and on whole texts:
        families models/tiny-llama/calibration.txt --random 40 > tests/data/tokenizer/families.jsonl
      tools/compare_tokenizers.sh makes a large comparison of it
  make_tokenizer_fixtures.py kinds
      the names of these tokenizers
  make_tokenizer_fixtures.py sentencepiece FILE DIR [--random N]
      models that sentencepiece trains on the text FILE, as DIR/NAME/tokenizer.model, on random strings. The ids are those
      of sentencepiece itself:
        sentencepiece models/tiny-llama/heldout.txt tests/data/tokenizer/sentencepiece > tests/data/tokenizer/sentencepiece.jsonl
  make_tokenizer_fixtures.py scripts
      the ranges of src/tokenizer/scripts.cpp, out of what UnicodeScripts cuts
  make_tokenizer_fixtures.py codepoints
      how each character is cut by each kind of pre-tokenizer (large)
  make_tokenizer_fixtures.py pruned TOKENIZER.json CASES.json --origin TEXT
      a large vocabulary cut down to what the texts of CASES.json (a list of {"text": ...}) can touch, ids unchanged;
      expectations that CASES.json has already must come out the same
"""
import argparse
import json
import pathlib
import random
import sys
import unicodedata

from tokenizers import Tokenizer, normalizers, pre_tokenizers
import tokenizers


def write(value):
    sys.stdout.write(json.dumps(value, ensure_ascii=False) + "\n")


def case(tokenizer, text, with_offsets=False):
    """One line of expectations; what equals the default is left out, as cases.h says."""
    ids = tokenizer.encode(text, add_special_tokens=False).ids
    line = {"text": text, "ids": ids}
    encoding = tokenizer.encode(text, add_special_tokens=True)
    if encoding.ids != ids:
        line["ids_special"] = encoding.ids
    if with_offsets:
        line["offsets"] = [offset for pair in encoding.offsets for offset in pair]
    decoded = tokenizer.decode(ids, skip_special_tokens=False)
    if decoded != text:
        line["decoded"] = decoded
    skipped = tokenizer.decode(ids, skip_special_tokens=True)
    if skipped != decoded:
        line["decoded_skip"] = skipped
    return line


def complete(line):
    """The line with its defaults written out."""
    decoded = line.get("decoded", line["text"])
    return {"ids_special": line["ids"], "decoded": decoded, "decoded_skip": decoded} | line


# --- Random text -----------------------------------------------------------------------------------------------------

# Only characters that Unicode 14 assigns: the C++ tables may be that old. Python 3.11 knows exactly Unicode 14.
assert unicodedata.unidata_version <= "14.0.0", "run with Python 3.11 or older"
ASSIGNED = [chr(c) for c in range(0x110000) if unicodedata.category(chr(c)) not in ("Cn", "Cs")]


def is_young(c):
    """Whether the library's tables for normal forms are older than `c` (a few hundred marks and ligatures): there the
    C++ tables differ, and are right."""
    if unicodedata.category(c).startswith("M"):
        return normalizers.StripAccents().normalize_str("a" + c) != "a"
    return normalizers.NFKD().normalize_str(c) != unicodedata.normalize("NFKD", c)


ASSIGNED = [c for c in ASSIGNED if not is_young(c)]
SPACES = list(" \t\n\r\v\f\x1c\x1d\x1e\x1f\x85\xa0\u1680\u180e\u2000\u2003\u200a\u200b\u2028\u2029\u202f\u205f\u2060\u3000\ufeff")
MARKS = [c for c in ASSIGNED if unicodedata.category(c).startswith("M") and ord(c) < 0x3000]
DIGITS = list("0123456789") + list("٣४৫²³¹½Ⅷ①〇三")
CONTRACTIONS = ["'s", "'t", "'re", "'ve", "'m", "'ll", "'d", "'S", "'LL", "'ſ", "’s", "'K", "n't", "'", "''"]
EMOJI = ["👍🏽", "🇫🇷", "👩\u200d👩\u200d👧", "😀️", "🏴\U000e0067\U000e007f", "❤️", "#️⃣"]
WORDS = ["the", "Hello", " world", "camelCase", "HTTPServer", "naïve", "Straße", "ΑΣ", "İstanbul", "ǅ", "日本語", "한국어",
         "ไทย", "العربية", "עברית", "मन्त्र", "def f(x):", "x_1", "<0x41>", "▁", "Ġ", "Ċ", "http://a.b/c?d=e#f", "ﬁ", "Å", "각"]
ASCII = [chr(c) for c in range(0x21, 0x7F)]


def random_text(rng, specials, most=24):
    kinds = [lambda: rng.choice(SPACES) * rng.choice((1, 1, 1, 2, 5)), lambda: " " * rng.randint(1, 4),
             lambda: "\n" * rng.randint(1, 3), lambda: rng.choice(MARKS) * rng.choice((1, 1, 3)),
             lambda: "".join(rng.choice(DIGITS) for _ in range(rng.randint(1, 5))), lambda: rng.choice(CONTRACTIONS),
             lambda: rng.choice(EMOJI), lambda: rng.choice(WORDS), lambda: rng.choice(WORDS), lambda: rng.choice(ASCII),
             lambda: "".join(rng.choice("abcdefgh ABC") for _ in range(rng.randint(1, 9))),
             lambda: chr(rng.randint(0, 0x1F)), lambda: chr(rng.randint(0x7F, 0x24F)), lambda: rng.choice(ASSIGNED),
             lambda: rng.choice(specials) if specials else "", lambda: rng.choice(specials)[:-1] if specials else ""]
    return "".join(rng.choice(kinds)() for _ in range(rng.randint(1, most)))


# --- Commands --------------------------------------------------------------------------------------------------------


def origin(seed=None):
    write({"origin": f"tokenizers {tokenizers.__version__}", "seed": seed, "made_by": "tools/make_tokenizer_fixtures.py"})


def command_cases(args):
    tokenizer = Tokenizer.from_file(f"{args.directory}/tokenizer.json")
    specials = [token.content for token in tokenizer.get_added_tokens_decoder().values()]
    origin(args.seed)
    write({"tokenizer": args.directory})
    for name in args.texts:
        text = open(name, encoding="utf-8", newline="").read()
        write(case(tokenizer, text))
        for line in text.splitlines(keepends=True):
            write(case(tokenizer, line))
    rng = random.Random(args.seed)
    for _ in range(args.random):
        write(case(tokenizer, random_text(rng, specials)))


SPACE_MARK = "▁"
LETTERS = "abcdefghABCDtheworldHxyz0123456789 .,!?'-_<>" + SPACE_MARK


def model(vocab, merges, **fields):
    base = {"type": "BPE", "dropout": None, "unk_token": None, "continuing_subword_prefix": None, "end_of_word_suffix": None,
            "fuse_unk": False, "byte_fallback": False, "ignore_merges": False}
    return base | fields | {"vocab": {token: i for i, token in enumerate(vocab)}, "merges": merges}


def byte_alphabet():
    return sorted(pre_tokenizers.ByteLevel.alphabet())


def distinct(tokens):
    return list(dict.fromkeys(tokens))


def merged(first, pairs, second=None):
    """The vocabulary grown by the merges."""
    return distinct(list(first) + [a + (second(b) if second else b) for a, b in pairs])


def added(i, content, **flags):
    return {"id": i, "content": content, "single_word": False, "lstrip": False, "rstrip": False, "normalized": False,
            "special": False} | flags


def tokenizer_json(model_json, added_tokens=(), normalizer=None, pre_tokenizer=None, post_processor=None, decoder=None):
    vocab = model_json["vocab"]
    ids = vocab if isinstance(vocab, dict) else {piece: i for i, (piece, _) in enumerate(vocab)}
    next_id = len(vocab)
    tokens = []
    for token in added_tokens:
        known = ids.get(token["content"])
        tokens.append(token | {"id": next_id if known is None else known})
        next_id += known is None
    return {"version": "1.0", "truncation": None, "padding": None, "added_tokens": tokens, "normalizer": normalizer,
            "pre_tokenizer": pre_tokenizer, "post_processor": post_processor, "decoder": decoder, "model": model_json}


def flagged_tokens(normalized):
    return [added(0, "<a>", rstrip=True, normalized=normalized), added(0, "<b>", lstrip=True, normalized=normalized),
            added(0, "the", single_word=True, normalized=normalized), added(0, "ab", normalized=normalized),
            added(0, "abcd", normalized=normalized, special=True), added(0, "bc", normalized=normalized),
            added(0, "\n\n", normalized=normalized), added(0, "<s>", special=True, lstrip=True, rstrip=True, single_word=True)]


def invented_tokenizers():
    pairs = [["a", "b"], ["ab", "c"], ["b", "c"], ["a", "bc"], ["t", "h"], ["th", "e"], ["h", "e"], ["l", "d"], ["0", "1"],
             [SPACE_MARK, "a"], [SPACE_MARK, "the"], [SPACE_MARK, SPACE_MARK], ["e", "f"], ["a", "b"]]
    plain = model(merged(distinct(LETTERS), pairs), pairs)
    bytes_256 = [f"<0x{b:02X}>" for b in range(256)]
    llama = model(merged(["<unk>", "<s>", "</s>"] + bytes_256 + distinct(LETTERS), pairs), [" ".join(p) for p in pairs],
                  unk_token="<unk>", fuse_unk=True, byte_fallback=True)
    some_bytes = model(merged(["<unk>", "<0xC3>", "<0xA9>", "<0xE4>"] + distinct(LETTERS), pairs), pairs, unk_token="<unk>",
                       byte_fallback=True)
    fused = model(merged(["<unk>"] + distinct(LETTERS), pairs), pairs, unk_token="<unk>", fuse_unk=True)
    byte_pairs = [["t", "h"], ["th", "e"], ["Ġ", "the"], ["Ġ", "Ġ"], ["Ã", "©"], ["a", "b"], ["Ċ", "Ċ"], ["0", "1"]]
    byte_level = model(merged(byte_alphabet(), byte_pairs), byte_pairs)
    whole = model(merged(byte_alphabet(), byte_pairs) + ["Hello", "Ġworld"], byte_pairs, ignore_merges=True)
    suffix_pairs = [["a", "b</w>"], ["t", "##h"], ["h", "##e</w>"]]
    suffixed = model(distinct(list("abcdeht") + [c + "</w>" for c in "abcdeht"] + ["##" + c for c in "abcdeht"] +
                              ["##" + c + "</w>" for c in "abcdeht"] + ["th", "he</w>", "th##e</w>", "a</w>", "ab</w>"]),
                     [["t", "##h"], ["t", "##h"]], continuing_subword_prefix="##", end_of_word_suffix="</w>")
    level = {"type": "ByteLevel", "add_prefix_space": False, "trim_offsets": True, "use_regex": True}
    level_decoder = {"type": "ByteLevel", "add_prefix_space": True, "trim_offsets": True, "use_regex": True}
    prepend = {"type": "Sequence", "normalizers": [{"type": "Prepend", "prepend": SPACE_MARK},
                                                   {"type": "Replace", "pattern": {"String": " "}, "content": SPACE_MARK}]}
    llama_decoder = {"type": "Sequence", "decoders": [{"type": "Replace", "pattern": {"String": SPACE_MARK}, "content": " "},
                                                      {"type": "ByteFallback"}, {"type": "Fuse"},
                                                      {"type": "Strip", "content": " ", "start": 1, "stop": 0}]}
    bos = {"type": "TemplateProcessing", "single": [{"SpecialToken": {"id": "<s>", "type_id": 0}}, {"Sequence": {"id": "A", "type_id": 0}}],
           "pair": [], "special_tokens": {"<s>": {"id": "<s>", "ids": [1], "tokens": ["<s>"]}}}
    yield tokenizer_json(plain, flagged_tokens(False))
    yield tokenizer_json(plain, flagged_tokens(True), normalizer={"type": "Lowercase"})
    yield tokenizer_json(llama, [added(1, "<s>", special=True), added(2, "</s>", special=True), added(0, "<unk>", normalized=True)],
                         normalizer=prepend, post_processor=bos, decoder=llama_decoder)
    yield tokenizer_json(some_bytes)
    yield tokenizer_json(fused)
    yield tokenizer_json(suffixed, pre_tokenizer={"type": "WhitespaceSplit"}, decoder={"type": "BPEDecoder", "suffix": "</w>"})
    yield tokenizer_json(whole, pre_tokenizer=level, decoder=level_decoder)
    for form in ("NFC", "NFD", "NFKC", "NFKD"):
        yield tokenizer_json(byte_level, normalizer={"type": form}, pre_tokenizer=level, decoder=level_decoder)
    for normalizer in ({"type": "Lowercase"}, {"type": "Strip", "strip_left": True, "strip_right": True}, {"type": "ByteLevel"},
                       {"type": "Sequence", "normalizers": [{"type": "NFD"}, {"type": "StripAccents"}]},
                       {"type": "Replace", "pattern": {"Regex": "[a-c]+|\\s+"}, "content": "$0"}):
        byte_normal = normalizer["type"] == "ByteLevel"
        yield tokenizer_json(byte_level, normalizer=normalizer, pre_tokenizer=None if byte_normal else level, decoder=level_decoder)
    for pre in ({"type": "Whitespace"}, {"type": "Digits", "individual_digits": False}, {"type": "Punctuation", "behavior": "Contiguous"},
                {"type": "Metaspace", "replacement": SPACE_MARK, "prepend_scheme": "first", "split": True},
                {"type": "Metaspace", "replacement": SPACE_MARK, "prepend_scheme": "never", "split": True}):
        decoder = pre if pre["type"] == "Metaspace" else {"type": "Fuse"}
        yield tokenizer_json(llama, [added(1, "<s>", special=True)], pre_tokenizer=pre, decoder=decoder)
    for kind in ("RobertaProcessing", "BertProcessing"):
        post = {"type": kind, "sep": ["</s>", 2], "cls": ["<s>", 1]}
        if kind == "RobertaProcessing":
            post |= {"trim_offsets": True, "add_prefix_space": False}
        yield tokenizer_json(llama, post_processor={"type": "Sequence", "processors": [
            {"type": "ByteLevel", "add_prefix_space": True, "trim_offsets": False, "use_regex": True}, post]})


UNKNOWN = "[UNK]"
BERT_WORDS = ["the", "world", "hello", "a", "b", "x", "##orld", "##a", "##b", "##c", "##x", "##1", "1", "12", "cafe", "naive", "ss",
              "def", "f", "日", "本", "語", "и", "##и", ".", ",", "!", "'", "[CLS]", "[SEP]", UNKNOWN, "s", "##s", "t", "##t",
              "e", "##e", "h", "##h", "w", "##w", "o", "##o"]


def unigram(pieces, **fields):
    return {"type": "Unigram", "unk_id": 0, "byte_fallback": False} | fields | {"vocab": pieces}


def scored(tokens, rng):
    return [[token, -round(rng.uniform(1, 9), 3)] for token in tokens]


def more_tokenizers(charsmap):
    """Components of the older kinds: Unigram, WordPiece and WordLevel models and what comes with them."""
    rng = random.Random(5)
    bert = {"type": "WordPiece", "unk_token": UNKNOWN, "continuing_subword_prefix": "##", "max_input_chars_per_word": 12,
            "vocab": {token: i for i, token in enumerate(BERT_WORDS)}}
    level = {"type": "WordLevel", "unk_token": UNKNOWN, "vocab": bert["vocab"]}
    specials = [added(0, "[CLS]", special=True), added(0, "[SEP]", special=True), added(0, "<a>", rstrip=True)]
    clean = {"type": "BertNormalizer", "clean_text": True, "handle_chinese_chars": True, "strip_accents": None, "lowercase": True}
    decoder = {"type": "WordPiece", "prefix": "##", "cleanup": True}
    sep = {"sep": ["[SEP]", BERT_WORDS.index("[SEP]")], "cls": ["[CLS]", BERT_WORDS.index("[CLS]")]}
    post = {"type": "BertProcessing"} | sep
    yield tokenizer_json(bert, specials, clean, {"type": "BertPreTokenizer"}, post, decoder)
    yield tokenizer_json(bert, specials, clean | {"lowercase": False}, {"type": "BertPreTokenizer"}, post, decoder | {"cleanup": False})
    for part in ({"strip_accents": True, "clean_text": False, "handle_chinese_chars": False, "lowercase": False},
                 {"strip_accents": False, "clean_text": False, "handle_chinese_chars": True, "lowercase": False},
                 {"strip_accents": False, "clean_text": True, "handle_chinese_chars": False, "lowercase": True}):
        yield tokenizer_json(bert, [], clean | part, {"type": "WhitespaceSplit"}, None, decoder)
    for pre in ({"type": "Whitespace"}, {"type": "CharDelimiterSplit", "delimiter": "e"}, {"type": "FixedLength", "length": 3},
                {"type": "UnicodeScripts"}, {"type": "Sequence", "pretokenizers": [{"type": "UnicodeScripts"}, {"type": "Digits", "individual_digits": True}]}):
        yield tokenizer_json(level, specials, {"type": "Nmt"}, pre, None, None)
        yield tokenizer_json(bert, specials, {"type": "Lowercase"}, pre, None, {"type": "CTC", "pad_token": "s", "word_delimiter_token": "e", "cleanup": pre["type"] != "Whitespace"})
    yield tokenizer_json(level, [], None, {"type": "UnicodeScripts"}, None, {"type": "CTC", "pad_token": UNKNOWN, "word_delimiter_token": "|", "cleanup": True})
    pieces = distinct(["<unk>"] + list(LETTERS) + ["th", "the", "ld", "wor", "world", SPACE_MARK + "the", SPACE_MARK + "a", SPACE_MARK * 2,
                       "ab", "abc", "bc", "日本", "語", "Hello", "ello", "é", "<s>", "</s>", "ss"])
    plain = unigram(scored(pieces, rng))
    bytes_256 = [f"<0x{b:02X}>" for b in range(256)]
    whole = unigram(scored(pieces + bytes_256, rng), byte_fallback=True)
    ties = unigram([["<unk>", 0.0]] + [[token, -float(len(token))] for token in ("a", "b", "ab", "ba", "aba", "bab", "abab", SPACE_MARK)])
    space = {"type": "Metaspace", "replacement": SPACE_MARK, "prepend_scheme": "always", "split": True}
    eos = {"type": "TemplateProcessing", "single": [{"Sequence": {"id": "A", "type_id": 0}}, {"SpecialToken": {"id": "</s>", "type_id": 0}}],
           "pair": [], "special_tokens": {"</s>": {"id": "</s>", "ids": [pieces.index("</s>")], "tokens": ["</s>"]}}}
    names = [added(0, "</s>", special=True), added(0, "<mask>", lstrip=True, special=True), added(0, "<extra>")]
    mapped = {"type": "Precompiled", "precompiled_charsmap": charsmap}
    several = {"type": "Sequence", "normalizers": [mapped, {"type": "Strip", "strip_left": False, "strip_right": True},
                                                   {"type": "Replace", "pattern": {"Regex": " {2,}"}, "content": SPACE_MARK}]}
    yield tokenizer_json(plain, names, several, space, eos, space)
    yield tokenizer_json(plain, names, mapped, None, None, space)
    yield tokenizer_json(plain, names, {"type": "Nmt"}, space | {"prepend_scheme": "first"}, eos, space)
    yield tokenizer_json(whole, names, {"type": "Sequence", "normalizers": [
        {"type": "Nmt"}, {"type": "NFKC"}, {"type": "Lowercase"}]}, space | {"split": False}, None,
        {"type": "Sequence", "decoders": [{"type": "ByteFallback"}, space]})
    yield tokenizer_json(ties, [], None, {"type": "Metaspace", "replacement": SPACE_MARK, "prepend_scheme": "never", "split": False})
    byte_pairs = [["t", "h"], ["th", "e"], ["Ġ", "the"], ["Ġ", "Ġ"], ["Ã", "©"], ["a", "b"], ["Ċ", "Ċ"], ["0", "1"]]
    roberta = model(merged(["<s>", "</s>"] + byte_alphabet(), byte_pairs), byte_pairs)
    for prefix in (True, False):
        yield tokenizer_json(roberta, [added(0, "<mask>", lstrip=True, special=True)],
                             pre_tokenizer={"type": "ByteLevel", "add_prefix_space": prefix, "trim_offsets": True, "use_regex": True},
                             post_processor={"type": "RobertaProcessing", "sep": ["</s>", 1], "cls": ["<s>", 0], "trim_offsets": True, "add_prefix_space": prefix},
                             decoder={"type": "ByteLevel", "add_prefix_space": True, "trim_offsets": True, "use_regex": True})


# Some of what nmt_nfkc does, and more: entries that begin others, that vanish, that grow, of several characters.
CHARACTER_RULES = ["9\t20", "A\t20", "A0\t20", "3000\t20", "7F\t", "200B\t", "FB01\t66 69", "2460\t31", "C5\t41 30A",
                   "BD\t31 2044 32", "65 301\tE9", "301\t20 301", "FF21\t41", "1F1EB\t5B 46 5D", "61 62 63\t58", "2025\t2E 2E",
                   "1112 1161\tD558", "3A3\t3C3", "130\t69", "AD\t"]


def small_charsmap():
    """A character map in base64: out of a model that sentencepiece trains on a few words."""
    import base64
    import io
    import tempfile
    import sentencepiece
    from transformers.convert_slow_tokenizer import import_protobuf
    out = io.BytesIO()
    with tempfile.NamedTemporaryFile("w", suffix=".tsv") as rules:
        rules.write("\n".join(CHARACTER_RULES) + "\n")
        rules.flush()
        sentencepiece.SentencePieceTrainer.train(sentence_iterator=iter(["a b c d e f"] * 9), model_writer=out, vocab_size=11,
                                                 minloglevel=9, hard_vocab_limit=False, normalization_rule_tsv=rules.name)
    proto = import_protobuf().ModelProto()
    proto.ParseFromString(out.getvalue())
    return base64.b64encode(proto.normalizer_spec.precompiled_charsmap).decode()


def command_components(args):
    origin(args.seed)
    rng = random.Random(args.seed)
    specials = ["<a>", "<b>", "the", "ab", "abcd", "<s>", "</s>", "<unk>", "\n\n", "ABCD", "<S>", "▁<s>"]
    for setting in more_tokenizers(small_charsmap()) if args.more else invented_tokenizers():
        tokenizer = Tokenizer.from_str(json.dumps(setting))
        write({"tokenizer": setting})
        # The library prints an added token normalized since 0.23; Hesse prints its content.
        decodes = not (setting["normalizer"] and any(token["normalized"] for token in setting["added_tokens"]))
        for _ in range(args.random):
            line = case(tokenizer, random_text(rng, specials, 16), with_offsets=True)
            write(line if decodes else line | {"lossy": True})


GPT2_WORDS = {"type": "ByteLevel", "add_prefix_space": False, "trim_offsets": True, "use_regex": True}
BYTES_ONLY = GPT2_WORDS | {"use_regex": False}
LEVEL_DECODER = {"type": "ByteLevel", "add_prefix_space": True, "trim_offsets": True, "use_regex": True}
CONTRACTION = r"(?i:'s|'t|'re|'ve|'m|'ll|'d)"
TAIL = r" ?[^\s\p{L}\p{N}]+[\r\n]*|\s*[\r\n]+|\s+(?!\S)|\s+"
LLAMA3_WORDS = CONTRACTION + r"|[^\r\n\p{L}\p{N}]?\p{L}+|\p{N}{1,3}|" + TAIL
QWEN_WORDS = CONTRACTION + r"|[^\r\n\p{L}\p{N}]?\p{L}+|\p{N}|" + TAIL
UPPER, LOWER = r"[\p{Lu}\p{Lt}\p{Lm}\p{Lo}\p{M}]", r"[\p{Ll}\p{Lm}\p{Lo}\p{M}]"
GPT4O_WORDS = (rf"[^\r\n\p{{L}}\p{{N}}]?{UPPER}*{LOWER}+{CONTRACTION}?|[^\r\n\p{{L}}\p{{N}}]?{UPPER}+{LOWER}*{CONTRACTION}?|"
               r"\p{N}{1,3}| ?[^\s\p{L}\p{N}]+[\r\n/]*|\s*[\r\n]+|\s+(?!\S)|\s+")
DEEPSEEK_WORDS = (r"[!\"#$%&'()*+,\-./:;<=>?@\[\\\]^_`{|}~][A-Za-z]+|[^\r\n\p{L}\p{P}\p{S}]?[\p{L}\p{M}]+| ?[\p{P}\p{S}]+[\r\n]*|"
                  r"\s*[\r\n]+|\s+(?!\S)|\s+")


def split(regex, behavior="Isolated", invert=False):
    return {"type": "Split", "pattern": {"Regex": regex}, "behavior": behavior, "invert": invert}


def in_turn(*parts):
    return {"type": "Sequence", "pretokenizers": list(parts)}


def begins_with(content):
    return lambda ids: {"type": "TemplateProcessing", "single": [{"SpecialToken": {"id": content, "type_id": 0}}, {"Sequence": {"id": "A", "type_id": 0}}],
                        "pair": [], "special_tokens": {content: {"id": content, "ids": [ids[content]], "tokens": [content]}}}


def around(first, last):
    def make(ids):
        one = {name: {"id": name, "ids": [ids[name]], "tokens": [name]} for name in (first, last)}
        return {"type": "TemplateProcessing", "single": [{"SpecialToken": {"id": first, "type_id": 0}}, {"Sequence": {"id": "A", "type_id": 0}},
                {"SpecialToken": {"id": last, "type_id": 0}}], "pair": [], "special_tokens": one}
    return make


SPACE_TO_MARK = {"type": "Replace", "pattern": {"String": " "}, "content": SPACE_MARK}
PREPENDED = {"type": "Sequence", "normalizers": [{"type": "Prepend", "prepend": SPACE_MARK}, SPACE_TO_MARK]}
MARK_DECODER = [{"type": "Replace", "pattern": {"String": SPACE_MARK}, "content": " "}, {"type": "ByteFallback"}, {"type": "Fuse"}]
LLAMA_DECODER = {"type": "Sequence", "decoders": MARK_DECODER + [{"type": "Strip", "content": " ", "start": 1, "stop": 0}]}
METASPACE = {"type": "Metaspace", "replacement": SPACE_MARK, "prepend_scheme": "always", "split": True}

# name: kind of model, special tokens, normalizer, pre-tokenizer, post-processor, decoder. Kinds: "bytes" is byte-level BPE,
# "pieces" BPE with byte fallback.
FAMILIES = {
    "gpt2": ("bytes", ["<|endoftext|>"], None, GPT2_WORDS, None, LEVEL_DECODER),
    "llama3": ("bytes", ["<|begin_of_text|>", "<|eot_id|>"], None, in_turn(split(LLAMA3_WORDS), BYTES_ONLY), begins_with("<|begin_of_text|>"), LEVEL_DECODER),
    "qwen2": ("bytes", ["<|endoftext|>", "<|im_start|>", "<|im_end|>"], {"type": "NFC"}, in_turn(split(QWEN_WORDS), BYTES_ONLY), BYTES_ONLY, LEVEL_DECODER),
    "gpt4o": ("bytes", ["<|endoftext|>"], None, in_turn(split(GPT4O_WORDS, "Removed", True), BYTES_ONLY), None, LEVEL_DECODER),
    "deepseek": ("bytes", ["<｜begin▁of▁sentence｜>", "<｜User｜>"], {"type": "Sequence", "normalizers": []},
                 in_turn(split(r"\p{N}{1,3}"), split("[一-龥぀-ゟ゠-ヿ]+"), split(DEEPSEEK_WORDS), BYTES_ONLY), begins_with("<｜begin▁of▁sentence｜>"), LEVEL_DECODER),
    "falcon": ("bytes", ["<|endoftext|>", ">>TITLE<<"], None, in_turn({"type": "Punctuation", "behavior": "Contiguous"}, GPT2_WORDS,
               {"type": "Digits", "individual_digits": False}, split("[0-9][0-9][0-9]")), None, LEVEL_DECODER),
    "starcoder": ("bytes", ["<|endoftext|>", "<fim_prefix>"], None, in_turn({"type": "Digits", "individual_digits": True}, GPT2_WORDS), None, LEVEL_DECODER),
    "bloom": ("bytes", ["<s>", "</s>"], None, in_turn(split(r" ?[^(\s|[.,!?…。，、।۔،])]+"), BYTES_ONLY), None, LEVEL_DECODER),
    "roberta": ("bytes", ["<s>", "</s>"], None, GPT2_WORDS | {"add_prefix_space": True}, around("<s>", "</s>"), LEVEL_DECODER),
    "llama2": ("pieces", ["<unk>", "<s>", "</s>"], PREPENDED, None, begins_with("<s>"), LLAMA_DECODER),
    "phi3": ("pieces", ["<unk>", "<s>", "</s>", "<|assistant|>"], PREPENDED, None, None, LLAMA_DECODER),
    "gemma": ("pieces", ["<pad>", "<eos>", "<bos>", "<unk>", "<start_of_turn>"], SPACE_TO_MARK,
              {"type": "Split", "pattern": {"String": " "}, "behavior": "MergedWithPrevious", "invert": False}, begins_with("<bos>"),
              {"type": "Sequence", "decoders": MARK_DECODER}),
    "t5": ("unigram", ["<pad>", "</s>", "<unk>", "<extra_id_0>"], "charsmap", METASPACE, None, METASPACE),
    "xlm_roberta": ("unigram", ["<s>", "<pad>", "</s>", "<unk>", "<mask>"], "charsmap", in_turn({"type": "WhitespaceSplit"}, METASPACE),
                    around("<s>", "</s>"), METASPACE),
    "albert": ("unigram", ["<pad>", "<unk>", "[CLS]", "[SEP]"], {"type": "Sequence", "normalizers": [
        {"type": "Replace", "pattern": {"String": "``"}, "content": '"'}, {"type": "NFKD"}, {"type": "StripAccents"}, {"type": "Lowercase"}]},
        METASPACE, around("[CLS]", "[SEP]"), METASPACE),
    "bert": ("wordpiece", ["[PAD]", UNKNOWN, "[CLS]", "[SEP]", "[MASK]"],
             {"type": "BertNormalizer", "clean_text": True, "handle_chinese_chars": True, "strip_accents": None, "lowercase": True},
             {"type": "BertPreTokenizer"}, around("[CLS]", "[SEP]"), {"type": "WordPiece", "prefix": "##", "cleanup": True}),
}


def trained(name, texts, vocab_size, charsmap):
    """The tokenizer.json of a family: its own pipeline, a small vocabulary of these texts."""
    from tokenizers import models, trainers
    kind, specials, normalizer, pre_tokenizer, post_processor, decoder = FAMILIES[name]
    normalizer = {"type": "Precompiled", "precompiled_charsmap": charsmap} if normalizer == "charsmap" else normalizer
    byte_tokens = [f"<0x{b:02X}>" for b in range(256)] if kind == "pieces" else []
    names = specials[:3] + byte_tokens + specials[3:] if kind == "pieces" else specials
    shared = {"vocab_size": vocab_size, "special_tokens": names, "show_progress": False}
    unk = next((token for token in specials if "unk" in token.lower()), None)
    blank, trainer = {
        "bytes": lambda: (models.BPE(), trainers.BpeTrainer(initial_alphabet=byte_alphabet(), **shared)),
        "pieces": lambda: (models.BPE(), trainers.BpeTrainer(limit_alphabet=120, **shared)),
        "unigram": lambda: (models.Unigram(), trainers.UnigramTrainer(unk_token=unk, **shared)),
        "wordpiece": lambda: (models.WordPiece(unk_token=unk), trainers.WordPieceTrainer(limit_alphabet=120, **shared)),
    }[kind]()
    # A model that sees whole texts learns on words: they give it the same kind of pieces in less time.
    learns_on = METASPACE if kind == "pieces" else pre_tokenizer
    shell = tokenizer_json(model(["a"], []), normalizer=None if kind == "pieces" else normalizer, pre_tokenizer=learns_on)
    tokenizer = Tokenizer.from_str(json.dumps(shell))
    tokenizer.model = blank
    tokenizer.train_from_iterator((line for text in texts for line in text.splitlines()), trainer)
    setting = json.loads(tokenizer.to_str())
    setting |= {"normalizer": normalizer, "pre_tokenizer": pre_tokenizer, "decoder": decoder}
    ids = {token["content"]: token["id"] for token in setting["added_tokens"]}
    setting["added_tokens"] = [token | ({"rstrip": True} if name == "phi3" else {"lstrip": True} if token["content"] == "<mask>" else {})
                               for token in setting["added_tokens"] if token["content"] not in byte_tokens]
    setting["post_processor"] = post_processor(ids) if callable(post_processor) else post_processor
    if kind == "pieces":
        setting["model"] |= {"unk_token": "<unk>", "fuse_unk": True, "byte_fallback": True}
    if name == "llama3":
        setting["model"]["ignore_merges"] = True
    return setting


def command_families(args):
    origin(args.seed)
    texts = [open(name, encoding="utf-8", newline="").read() for name in args.texts]
    charsmap = small_charsmap()
    names = args.only or list(FAMILIES)
    for name in names:
        setting = trained(name, texts, args.vocab, charsmap)
        if args.save:
            directory = pathlib.Path(args.save) / name
            directory.mkdir(parents=True, exist_ok=True)
            (directory / "tokenizer.json").write_text(json.dumps(setting, ensure_ascii=False), encoding="utf-8")
        tokenizer = Tokenizer.from_str(json.dumps(setting))
        write({"tokenizer": setting, "name": name})
        specials = [token["content"] for token in setting["added_tokens"]]
        rng = random.Random(f"{args.seed} {name}")
        for _ in range(args.random):
            write(case(tokenizer, random_text(rng, specials), with_offsets=True))
        for text in texts:
            for line in text.splitlines(keepends=True)[:args.lines]:
                write(case(tokenizer, line, with_offsets=True))
            if args.whole:
                write(case(tokenizer, text, with_offsets=True))


def command_sentencepiece(args):
    """Control and user-defined pieces are left out of the texts: sentencepiece does not look for the former, and normalizes
    around the latter otherwise than the converters of transformers."""
    import tempfile
    import sentencepiece
    origin(args.seed)
    with tempfile.NamedTemporaryFile("w", suffix=".tsv") as rules:
        rules.write("\n".join(CHARACTER_RULES) + "\n")
        rules.flush()
        plain = {"normalization_rule_name": "identity", "add_dummy_prefix": True, "remove_extra_whitespaces": False}
        mapped = {"normalization_rule_tsv": rules.name}
        models = {
            "bpe": {"model_type": "bpe", "byte_fallback": True, "split_digits": True, "allow_whitespace_only_pieces": True} | plain,
            "bpe_unknown": {"model_type": "bpe", "user_defined_symbols": ["<user>"], "pad_id": 3} | mapped,
            "unigram": {"model_type": "unigram"} | mapped,
            "unigram_bytes": {"model_type": "unigram", "byte_fallback": True, "add_dummy_prefix": False, "remove_extra_whitespaces": False,
                              "user_defined_symbols": ["<user>"], "control_symbols": ["<ctl>"]} | {"normalization_rule_name": "identity"},
        }
        for name, options in models.items():
            directory = pathlib.Path(args.directory) / name
            directory.mkdir(parents=True, exist_ok=True)
            sentencepiece.SentencePieceTrainer.train(input=args.text, model_prefix=str(directory / "tokenizer"), vocab_size=args.vocab,
                                                     minloglevel=9, character_coverage=0.99, **options)
            (directory / "tokenizer.vocab").unlink()
            processor = sentencepiece.SentencePieceProcessor(model_file=str(directory / "tokenizer.model"))
            write({"tokenizer": str(directory)})
            rng = random.Random(f"{args.seed} {name}")
            for _ in range(args.random):
                text = random_text(rng, [])
                write({"text": text, "ids": processor.encode(text), "lossy": True})


def command_scripts(_):
    """A boundary between neighbours tells scripts apart; what stands inside of Latin and of Cyrillic has none."""
    cut = pre_tokenizers.UnicodeScripts()
    starts = lambda text: {offsets[0] for _, offsets in cut.pre_tokenize_str(text)}
    points = [c for c in range(0x110000) if not 0xD800 <= c <= 0xDFFF and c != 0x20]
    def joins(letter):
        found = starts("".join(letter + chr(c) for c in points))
        return {c for i, c in enumerate(points) if 2 * i + 1 not in found}
    anything = joins("a") & joins("б")
    known, ranges = [], []
    for c in points:
        if c in anything:
            continue
        if ranges and ranges[-1][1] == c - 1 and len(cut.pre_tokenize_str(chr(c - 1) + chr(c))) == 1:
            ranges[-1][1] = c
            continue
        number = next((i for i, other in enumerate(known) if len(cut.pre_tokenize_str(chr(other) + chr(c))) == 1), len(known))
        if number == len(known):
            known.append(c)
        ranges.append([c, c, number + 1])
    print(",\n".join(f"{{0x{first:X}, 0x{last:X}, {script}}}" for first, last, script in ranges))


def regex_settings():
    for pattern in [r"\s", r"\S", r"\w", r"\W", r"\d", r"[^\s]", r"[^\w]", r"[^\W\d]", r"[\D\s]", r"\p{L}", r"\P{L}", r"[\p{Lu}\p{M}]",
                    r"\p{N}", r"[\p{P}\p{S}]", r"(?i:s)", r"(?i:k)", r"[a-z&&[^aeiou]]", r"[^a[^b-z]]", r"."]:
        yield {"type": "Split", "pattern": {"Regex": pattern}, "behavior": "Isolated", "invert": False}
    for kind in ({"type": "Digits", "individual_digits": True}, {"type": "Punctuation", "behavior": "Isolated"},
                 {"type": "Whitespace"}, {"type": "WhitespaceSplit"}):
        yield kind


def command_codepoints(_):
    shell = {"version": "1.0", "truncation": None, "padding": None, "added_tokens": [], "normalizer": None, "post_processor": None,
             "decoder": None, "model": model(["a"], [])}
    origin()
    for setting in regex_settings():
        pre = Tokenizer.from_str(json.dumps(shell | {"pre_tokenizer": setting})).pre_tokenizer
        write({"pre_tokenizer": setting})
        for begin in range(0, len(ASSIGNED), 64):
            text = "".join("a" + c for c in ASSIGNED[begin:begin + 64])
            write({"text": text, "pieces": [piece for piece, _ in pre.pre_tokenize_str(text)]})


class Recorder:
    """Byte pair encoding that notes every token and every merge that a text could use."""

    def __init__(self, setting):
        self.model = setting["model"]
        self.ranks = {}
        for rank, merge in enumerate(self.model["merges"]):
            self.ranks[tuple(merge.split(" ") if isinstance(merge, str) else merge)] = rank
        self.used_merges = set()
        self.used_tokens = {f"<0x{b:02X}>" for b in range(256)} | set(byte_alphabet()) | {self.model.get("unk_token")}

    def encode(self, piece):
        self.used_tokens.add(piece)
        symbols = []
        for c in piece:
            symbols += [c] if c in self.model["vocab"] else [f"<0x{b:02X}>" for b in c.encode()]
        while True:
            candidates = [(self.ranks[pair], pair) for pair in zip(symbols, symbols[1:]) if pair in self.ranks]
            self.used_merges.update(rank for rank, _ in candidates)
            self.used_tokens.update(symbols)
            if not candidates:
                return
            pair = min(candidates)[1]
            at = list(zip(symbols, symbols[1:])).index(pair)
            symbols[at:at + 2] = [pair[0] + pair[1]]

    def pruned(self):
        merges = [self.model["merges"][rank] for rank in sorted(self.used_merges)]
        for merge in merges:
            left, right = merge.split(" ") if isinstance(merge, str) else merge
            self.used_tokens |= {left, right, left + right}
        vocab = {token: i for token, i in self.model["vocab"].items() if token in self.used_tokens}
        return self.model | {"vocab": vocab, "merges": merges}


def command_pruned(args):
    setting = json.load(open(args.tokenizer, encoding="utf-8"))
    cases = json.load(open(args.cases, encoding="utf-8"))
    full = Tokenizer.from_str(json.dumps(setting))
    recorder = Recorder(setting)
    # The words as the model sees them: cut at the added tokens, normalized, pre-tokenized.
    words = json.loads(json.dumps(setting)) | {"post_processor": None}
    splitter = Tokenizer.from_str(json.dumps(words))
    names = sorted((token["content"] for token in setting["added_tokens"]), key=len, reverse=True)
    for entry in cases:
        for stretch in split_at(entry["text"], names):
            if splitter.normalizer is not None:
                stretch = splitter.normalizer.normalize_str(stretch)
            pieces = [p for p, _ in splitter.pre_tokenizer.pre_tokenize_str(stretch)] if splitter.pre_tokenizer else [stretch]
            for piece in pieces:
                recorder.encode(piece)
    small = setting | {"model": recorder.pruned()}
    # Added tokens that no text has are left out; the others join the vocabulary, which lets them keep their ids.
    texts = "\n".join(entry["text"] for entry in cases) + json.dumps(setting["post_processor"])
    small["added_tokens"] = [token for token in setting["added_tokens"] if token["content"] in texts]
    for token in small["added_tokens"]:
        small["model"]["vocab"][token["content"]] = token["id"]
    write({"origin": args.origin})
    write({"tokenizer": small})
    check = Tokenizer.from_str(json.dumps(small))
    for entry in cases:
        line = case(full, entry["text"])
        assert line == case(check, entry["text"]), entry["text"]
        if "ids" in entry:
            assert complete(line) == complete(entry), entry["text"]
        write(line)


def split_at(text, names):
    stretches = [text]
    for name in names:
        stretches = [part for stretch in stretches for part in stretch.split(name)]
    return [stretch for stretch in stretches if stretch]


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    commands = parser.add_subparsers(required=True)
    cases = commands.add_parser("cases")
    cases.add_argument("directory")
    cases.add_argument("--texts", nargs="*", default=[])
    cases.add_argument("--random", type=int, default=0)
    cases.add_argument("--seed", type=int, default=1)
    cases.set_defaults(run=command_cases)
    components = commands.add_parser("components")
    components.add_argument("--random", type=int, default=20)
    components.add_argument("--seed", type=int, default=1)
    components.add_argument("--more", action="store_true")
    components.set_defaults(run=command_components)
    families = commands.add_parser("families")
    families.add_argument("texts", nargs="+")
    families.add_argument("--vocab", type=int, default=700)
    families.add_argument("--random", type=int, default=40)
    families.add_argument("--lines", type=int, default=0)
    families.add_argument("--whole", action="store_true")
    families.add_argument("--seed", type=int, default=1)
    families.add_argument("--only", nargs="*")
    families.add_argument("--save")
    families.set_defaults(run=command_families)
    commands.add_parser("kinds").set_defaults(run=lambda _: print("\n".join(FAMILIES)))
    pieces = commands.add_parser("sentencepiece")
    pieces.add_argument("text")
    pieces.add_argument("directory")
    pieces.add_argument("--vocab", type=int, default=600)
    pieces.add_argument("--random", type=int, default=60)
    pieces.add_argument("--seed", type=int, default=1)
    pieces.set_defaults(run=command_sentencepiece)
    commands.add_parser("scripts").set_defaults(run=command_scripts)
    commands.add_parser("codepoints").set_defaults(run=command_codepoints)
    pruned = commands.add_parser("pruned")
    pruned.add_argument("tokenizer")
    pruned.add_argument("cases")
    pruned.add_argument("--origin", required=True)
    pruned.set_defaults(run=command_pruned)
    args = parser.parse_args()
    args.run(args)


if __name__ == "__main__":
    main()
