#!/usr/bin/env python3
"""Writes tests/data/templates/golden.jsonl: what transformers' own renderer makes of each template and conversation.

    /path/to/python tools/make_template_golden.py      (needs transformers with jinja2)

The templates in tests/data/templates/*.jinja are written for the tests: each has the constructs, and the shape of the
output, of the family that its name says, in words of its own. The renderer is transformers.utils.chat_template_utils,
with its sandbox and its settings. Refusals by raise_exception are written down as such.
"""
import datetime
import json
import pathlib

import jinja2
import transformers
from transformers.utils import chat_template_utils as renderer

FOLDER = pathlib.Path(__file__).resolve().parent.parent / "tests/data/templates"
TODAY = datetime.datetime(2024, 7, 26)
SPECIAL = {"bos_token": "<s>", "eos_token": "</s>", "unk_token": "<unk>", "pad_token": "<pad>"}

WEATHER = {"type": "function", "function": {
    "name": "get_weather", "description": "Tells the weather of a place.",
    "parameters": {"type": "object", "required": ["place"], "properties": {
        "place": {"type": "string", "description": "A town, as in \"Köln\""},
        "unit": {"type": "string", "enum": ["C", "F"]}, "days": {"type": "integer"}}}}}
CLOCK = {"type": "function", "function": {"name": "now", "description": "The time.", "parameters": {
    "type": "object", "properties": {}}}}

USER = {"role": "user", "content": "How long is a day on Mars?"}
SYSTEM = {"role": "system", "content": "You answer in one sentence."}
ANSWER = {"role": "assistant", "content": "About 24 hours and 37 minutes."}
CALL = {"role": "assistant", "content": "", "tool_calls": [
    {"id": "call00001", "type": "function",
     "function": {"name": "get_weather", "arguments": {"place": "Köln", "days": 2, "exact": True, "note": None}}}]}
TWO_CALLS = {"role": "assistant", "content": "Let me look.", "tool_calls": [
    {"id": "call00001", "type": "function", "function": {"name": "get_weather", "arguments": {"place": "Rome"}}},
    {"id": "call00002", "type": "function", "function": {"name": "now", "arguments": {}}}]}
RESULT = {"role": "tool", "name": "get_weather", "tool_call_id": "call00001", "content": "{\"sky\": \"clear\", \"t\": 21.5}"}
RESULT2 = {"role": "tool", "name": "now", "tool_call_id": "call00002", "content": "12:00"}

CONVERSATIONS = {
    "one": dict(messages=[USER]),
    "prompt": dict(messages=[USER], add_generation_prompt=True),
    "system": dict(messages=[SYSTEM, USER, ANSWER]),
    "turns": dict(messages=[SYSTEM, USER, ANSWER, {"role": "user", "content": "  And on Venus?\n"},
                            {"role": "assistant", "content": "Much longer.\n\nIt is 243 of our days. "},
                            {"role": "user", "content": "Why?"}], add_generation_prompt=True),
    "unicode": dict(messages=[{"role": "user", "content": "Grüße 你好 👩‍🚀 \u00a0 \"quotes\" 'single' <b>&amp;</b> {{ x }} {% y %}"},
                              {"role": "assistant", "content": "Ça va — naïve…\tтак\\n"}]),
    "blank": dict(messages=[{"role": "system", "content": ""}, {"role": "user", "content": ""},
                            {"role": "assistant", "content": ""}]),
    "empty": dict(messages=[]),
    "assistant_first": dict(messages=[ANSWER, USER]),
    "two_users": dict(messages=[USER, USER]),
    "tools": dict(messages=[SYSTEM, USER], tools=[WEATHER, CLOCK], add_generation_prompt=True),
    "call": dict(messages=[USER, CALL, RESULT, ANSWER], tools=[WEATHER]),
    "calls": dict(messages=[SYSTEM, USER, TWO_CALLS, RESULT, RESULT2, ANSWER, USER], tools=[WEATHER, CLOCK],
                  add_generation_prompt=True),
    "thinking": dict(messages=[USER, {"role": "assistant", "content": "<think>\nMars turns slowly.\n</think>\n\nA bit more than ours."},
                               USER, {"role": "assistant", "reasoning_content": "Again?", "content": "As I said."}]),
    "parts": dict(messages=[{"role": "user", "content": [{"type": "text", "text": "First part."}, {"type": "image"},
                                                         {"type": "text", "text": "Second part."}]}]),
    "extra": dict(messages=[USER], variables={"enable_thinking": False, "custom_tools": None, "date_string": "1 May 2025"},
                  add_generation_prompt=True),
}


class FixedDatetime(datetime.datetime):
    @classmethod
    def now(cls, tz=None):
        return TODAY


def render(source, conversation):
    chat = dict(conversation)
    text, _ = renderer.render_jinja_template(
        conversations=[chat.pop("messages")], tools=chat.pop("tools", None), chat_template=source,
        add_generation_prompt=chat.pop("add_generation_prompt", False), **SPECIAL, **chat.pop("variables", {}))
    return text[0]


def main():
    renderer.datetime = FixedDatetime
    rows = [{"transformers": transformers.__version__, "jinja2": jinja2.__version__, "special": SPECIAL,
             "conversations": CONVERSATIONS}]
    for path in sorted(FOLDER.glob("*.jinja")):
        source = path.read_text(encoding="utf-8")
        for name, conversation in CONVERSATIONS.items():
            row = {"template": path.stem, "conversation": name}
            try:
                row["text"] = render(source, conversation)
            except (jinja2.exceptions.TemplateError, TypeError, ValueError, KeyError) as error:
                row["refused"] = f"{type(error).__name__}: {error}"
            rows.append(row)
    with open(FOLDER / "golden.jsonl", "w", encoding="utf-8") as out:
        for row in rows:
            out.write(json.dumps(row, ensure_ascii=False) + "\n")
    refused = sum("refused" in row for row in rows)
    print(f"{len(list(FOLDER.glob('*.jinja')))} templates x {len(CONVERSATIONS)} conversations, {refused} refused")


if __name__ == "__main__":
    main()
