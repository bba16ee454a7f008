"""Tokens for tests, signed here and not by the hub's own code."""

import time
from dataclasses import dataclass
from typing import Any

import jwt


@dataclass(frozen=True)
class Minter:
    """Signs whatever it is told to. `age_s` shifts `iat`, `life_s` sets `exp`; both count from now."""

    secret: str

    def desktop(self, desktop_id: str, user_id: str, *, life_s: float = 3600, age_s: float = 0, **claims: Any) -> str:
        return self.sign(aud="desktop", sub=desktop_id, user_id=user_id, life_s=life_s, age_s=age_s, **claims)

    def mobile(self, user_id: str, *, life_s: float = 3600, age_s: float = 0, **claims: Any) -> str:
        return self.sign(aud="mobile", sub=user_id, life_s=life_s, age_s=age_s, **claims)

    def service(self, name: str = "tests", *, life_s: float = 3600) -> str:
        return self.sign(aud="internal", sub=name, life_s=life_s, age_s=0)

    def sign(self, *, life_s: float, age_s: float, **claims: Any) -> str:
        now = time.time()
        times = {"iat": int(now - age_s), "exp": now + life_s}
        return jwt.encode({**times, **claims}, self.secret, algorithm="HS256")
