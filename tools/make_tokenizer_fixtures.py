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
  make_tokenizer_fixtures.py codepoints
      how each character is cut by each kind of pre-tokenizer (large)
  make_tokenizer_fixtures.py pruned TOKENIZER.json CASES.json --origin TEXT
      a large vocabulary cut down to what the texts of CASES.json (a list of {"text": ...}) can touch, ids unchanged;
      expectations that CASES.json has already must come out the same
"""
import argparse
import json
import random
import sys
import unicodedata

from tokenizers import Tokenizer, normalizers, pre_tokenizers
import tokenizers


def write(value):
    sys.stdout.write(json.dumps(value, ensure_ascii=False) + "\n")


def case(tokenizer, text):
    """One line of expectations; what equals the default is left out, as cases.h says."""
    ids = tokenizer.encode(text, add_special_tokens=False).ids
    line = {"text": text, "ids": ids}
    special = tokenizer.encode(text, add_special_tokens=True).ids
    if special != ids:
        line["ids_special"] = special
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
    next_id = len(model_json["vocab"])
    tokens = []
    for token in added_tokens:
        known = model_json["vocab"].get(token["content"])
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


def command_components(args):
    origin(args.seed)
    rng = random.Random(args.seed)
    specials = ["<a>", "<b>", "the", "ab", "abcd", "<s>", "</s>", "<unk>", "\n\n", "ABCD", "<S>", "▁<s>"]
    for setting in invented_tokenizers():
        tokenizer = Tokenizer.from_str(json.dumps(setting))
        write({"tokenizer": setting})
        # The library prints an added token normalized since 0.23; Hesse prints its content.
        decodes = not (setting["normalizer"] and any(token["normalized"] for token in setting["added_tokens"]))
        for _ in range(args.random):
            line = case(tokenizer, random_text(rng, specials, 16))
            write(line if decodes else line | {"lossy": True})


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
    components.set_defaults(run=command_components)
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
