"""A token that opens nothing, and why."""

from typing import Literal

RefusalCode = Literal["token_invalid", "token_expired", "forbidden", "unavailable"]

_STATUS = {"token_invalid": 401, "token_expired": 401, "forbidden": 403, "unavailable": 503}


class TokenRefused(Exception):  # noqa: N818 - an expected answer, not a fault of the program
    """Why a token was not accepted.

    Attributes:
        code: The code in `problem+json` and in `error` (docs/protocol.md, "Error codes"); `unavailable` says that the
            keys could not be fetched, so that nobody knows whether the token is good: the client may come back.
        status: The HTTP status that goes with it: 401, 403 or 503.
        text: One line for the client's developer; never quotes the token or a secret.
    """

    __slots__ = ("code", "status", "text")

    def __init__(self, code: RefusalCode, text: str) -> None:
        super().__init__(text)
        self.code = code
        self.status = _STATUS[code]
        self.text = text
