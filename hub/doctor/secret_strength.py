"""A guess at how hard a shared secret is to guess. It sees what is plainly weak; it can't see that a secret is good."""

import math
import re
from collections import Counter

LEAST_BITS = 100.0
"""Below this a secret is called weak. 16 random bytes in hexadecimal, which are fine, are rated 110 or more."""

_BITS_OF_A_WORDS_LETTER = 1.5  # English text; C. E. Shannon, "Prediction and entropy of printed English", 1951
_PLACEHOLDER = re.compile(r"change.?me|password|example|default|secret|placeholder|insert.?here", re.IGNORECASE)
_WORDS = re.compile(r"[A-Z]?[a-z]+(?:[ ._-]?[A-Za-z][a-z]*)*|[A-Z]+(?:[ ._-][A-Z]+)*")


def weakness(secret: str) -> str | None:
    """Say what is weak about `secret`, without telling anything of it; None if nothing is seen."""
    if _PLACEHOLDER.search(secret):
        return "reads like a placeholder"
    if guessed_bits(secret) < LEAST_BITS:
        return "isn't random: it repeats itself, or is made of words"
    return None


def guessed_bits(secret: str) -> float:
    """Return the entropy of the secret's letters, as if each were drawn on its own; a repetition counts once."""
    once = secret[: _period(secret)]
    if _WORDS.fullmatch(once):
        return len(once) * _BITS_OF_A_WORDS_LETTER
    return -sum(times * math.log2(times / len(once)) for times in Counter(once).values())


def _period(text: str) -> int:
    """Return the length of the piece that `text` repeats, or its own."""
    return (text + text).find(text, 1)
