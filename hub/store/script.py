"""A script that runs inside Redis, where comparing and writing is one step."""

import hashlib
from dataclasses import dataclass, field


@dataclass(frozen=True, slots=True)
class Script:
    """A Lua script and the name that Redis knows it by. All keys of a call lie in one cluster slot."""

    text: str
    sha: str = field(init=False)

    def __post_init__(self) -> None:
        object.__setattr__(self, "sha", hashlib.sha1(self.text.encode(), usedforsecurity=False).hexdigest())

    def on(self, *keys: str) -> tuple[str | int, ...]:
        """Return the command that runs it on these keys; its arguments come behind."""
        return ("EVALSHA", self.sha, len(keys), *keys)
