import secrets
from collections.abc import Callable
from functools import partial

import pytest

from hub.doctor.secret_strength import guessed_bits, weakness


@pytest.mark.parametrize(
    "secret",
    [
        "a" * 40,
        "abcdefgh" * 5,
        "0123456789abcdef" * 4,
        "correct horse battery staple and more",
        "this-is-the-key-of-our-wonderful-hub",
        "OnlySomeLettersOfOneWordAfterAnother",
    ],
)
def test_repetitions_and_words_are_weak(secret: str) -> None:
    assert weakness(secret) == "isn't random: it repeats itself, or is made of words"


@pytest.mark.parametrize("secret", ["ChangeMe-8f3kQ2mZ7xW4nB9tL3pY6cJ1hG5fD0sA", "PASSWORD-8f3kQ2mZ7xW4nB9tL3pY6cJ1h"])
def test_placeholders_are_weak(secret: str) -> None:
    assert weakness(secret) == "reads like a placeholder"


@pytest.mark.parametrize("make", [partial(secrets.token_hex, 16), partial(secrets.token_urlsafe, 32)])
def test_random_secrets_are_not(make: Callable[[], str]) -> None:
    rated = sorted(guessed_bits(make()) for _ in range(200))
    assert rated[len(rated) // 2] > 110


def test_what_is_said_holds_nothing_of_the_secret() -> None:
    said = weakness("zq" * 20)
    assert said is not None
    assert "zq" not in said
