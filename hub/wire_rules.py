"""Rules for JSON text that a fast parser leaves open, each with a cheap test that clears nearly every message.

What the hub lets through must mean the same to every parser behind it, and break none of them: names occur once in an
object that the hub reads, nesting and numbers have bounds that the parsers of phones and desktops can take.
"""

import json
import re

MAX_DEPTH = 256
MAX_DIGITS = 4300
"""Where CPython's own parser stops; JavaScript, Go and Java round such numbers off long before."""

SLACK = 10
"""A second `type`, `payload`, `timestamp` or `message_id` makes a text at least this much longer than it has to be."""

_SAMPLE = 1024
_SHALLOW = 8
_AS_ARRAYS = bytes.maketrans(b"{}", b"[]")
_NO_BRACKETS = bytes(set(range(256)) - set(b"[]{}"))
_RUN = re.compile(rb"\[+|\]+")
_MIDDLE = 0x5C  # Between the codes of the brackets: one more than "[", one less than "]".
_STRING = re.compile(r'"[^"\\]*+(?:\\.[^"\\]*+)*+"')
_LONG_NUMBER = re.compile(rf"\d{{{MAX_DIGITS + 1}}}")
_SAMPLED_DIGITS = re.compile(rf"\d{{{MAX_DIGITS // _SAMPLE}}}")


def breach(text: str, payload: bytes, excess: int) -> str | None:
    """Tell which rule a valid JSON text breaks, if any.

    Args:
        text: The whole envelope.
        payload: The raw text of its `payload`; copied only if it has to be looked at.
        excess: How many bytes longer the text is than its shortest spelling.
    """
    if _depth_exceeds(text):
        return f"nested deeper than {MAX_DEPTH} levels"
    if _has_endless_number(text):
        return f"a number has more than {MAX_DIGITS} digits"
    if excess >= SLACK and repeats_a_name(_without(bytes(payload).decode(), text)):
        return "a member occurs twice in the envelope; each name may occur once"
    return None


def repeats_a_name(text: str) -> bool:
    """Tell whether the JSON object `text` has a name twice; what is inside of its members is not looked at."""
    names = json.loads(text, object_pairs_hook=_names, parse_int=str, parse_float=str)
    return len(set(names)) != len(names)


def read_name_is_ambiguous(payload: bytes, name: bytes) -> bool:
    """Tell whether the member `name` that the hub read could be read differently by somebody else."""
    if payload.count(b'"' + name + b'"') == 1 and b"\\u" not in payload:
        return False
    return repeats_a_name(payload.decode())


def _names(pairs: list[tuple[str, object]]) -> list[str]:
    return [name for name, _ in pairs]


def _without(payload: str, text: str) -> str:
    """Cut out the payload, which is opaque and large; not where the same text stands elsewhere too."""
    at = text.find(payload)
    return text[:at] + "0" + text[at + len(payload) :] if at == text.rfind(payload) else text


def _depth_exceeds(text: str) -> bool:
    if len(text) < 2 * MAX_DEPTH or text.count("[") + text.count("{") <= MAX_DEPTH:
        return False
    brackets = _STRING.sub("", text).encode().translate(_AS_ARRAYS, _NO_BRACKETS)
    for _ in range(_SHALLOW):
        brackets = brackets.replace(b"[]", b"")
    # What is left has its peaks far apart, so it is counted by runs, not by brackets.
    depth = 0
    for run in _RUN.findall(brackets):
        depth += len(run) * (_MIDDLE - run[0])
        if depth > MAX_DEPTH - _SHALLOW:
            return True
    return False


def _has_endless_number(text: str) -> bool:
    # A run of so many digits covers several samples in a row, so most texts are cleared without reading them.
    if len(text) <= MAX_DIGITS or _SAMPLED_DIGITS.search(text[::_SAMPLE]) is None:
        return False
    return _LONG_NUMBER.search(_STRING.sub("", text)) is not None
