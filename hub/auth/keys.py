"""The keys that tokens are checked with. A key's type fixes its algorithm; what a token says never does."""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from enum import Enum, auto
from typing import Any, Protocol

import jwt

from hub.config_values import NamedSecret


@dataclass(frozen=True, slots=True)
class VerificationKey:
    """One key, prepared once.

    Attributes:
        kid: Its name, or None.
        algorithm: The only algorithm that it is used with (`HS256`, `RS256`, `ES256` or `EdDSA`).
    """

    kid: str | None
    algorithm: str
    _prepared: Any = field(repr=False)
    _method: Any = field(repr=False)

    def verifies(self, signed: bytes, signature: bytes) -> bool:
        """Tell whether `signature` over `signed` was made with this key; HS256 compares in constant time."""
        return bool(self._method.verify(signed, self._prepared, signature))


def prepare_key(kid: str | None, algorithm: str, material: object) -> VerificationKey:
    """Prepare a key of PyJWT's for many checks.

    Raises:
        jwt.InvalidKeyError: If the material isn't a key for this algorithm, or a weak one.
    """
    method = jwt.get_algorithm_by_name(algorithm)
    prepared = method.prepare_key(material)
    weakness = method.check_key_length(prepared)
    if weakness:
        raise jwt.InvalidKeyError(weakness)
    return VerificationKey(kid, algorithm, prepared, method)


class KeyMiss(Enum):
    """Why there is no key."""

    UNKNOWN = auto()
    """There is none of that name, as far as the newest key set says."""
    NEEDS_FETCH = auto()
    """It may be in a key set that hasn't been fetched yet: await `refresh()` and look again."""
    UNAVAILABLE = auto()
    """The key set couldn't be fetched, and may not be asked for again yet."""


class KeySet(Protocol):
    """Keys by name."""

    def find(self, kid: str | None) -> VerificationKey | KeyMiss:
        """Return the key of that name at once; for a token that names none, the key without a name or the only one."""
        ...

    async def refresh(self) -> None:
        """Fetch the keys, or wait for a fetch under way. Never raises; ends within a deadline."""
        ...

    async def aclose(self) -> None:
        """End a fetch under way."""
        ...


class NamedKeys:
    """Some keys, looked up by name."""

    __slots__ = ("_by_kid", "_unnamed")

    def __init__(self, keys: Iterable[VerificationKey]) -> None:
        every = list(keys)
        self._by_kid: Mapping[str, VerificationKey] = {key.kid: key for key in every if key.kid is not None}
        unnamed = [key for key in every if key.kid is None]
        alone = unnamed or every
        self._unnamed = alone[0] if len(alone) == 1 else None

    def get(self, kid: str | None) -> VerificationKey | None:
        """Return the key of that name; for None the key without a name, or the only key there is."""
        return self._unnamed if kid is None else self._by_kid.get(kid)


class SharedSecrets:
    """HS256 secrets from the settings; a KeySet that needs no fetching.

    Args:
        unnamed: The secret for tokens without a `kid` (`HUB_JWT_SECRET`).
        named: The secrets by `kid` (`HUB_JWT_SECRETS`). One that is alone also serves tokens without a `kid`.

    Raises:
        jwt.InvalidKeyError: If a secret is too short, or is a public key (which everybody knows).
    """

    __slots__ = ("_keys",)

    def __init__(self, unnamed: str | None, named: Iterable[NamedSecret] = ()) -> None:
        keys = [prepare_key(each.kid, "HS256", each.secret.get_secret_value()) for each in named]
        if unnamed is not None:
            keys.append(prepare_key(None, "HS256", unnamed))
        self._keys = NamedKeys(keys)

    def find(self, kid: str | None) -> VerificationKey | KeyMiss:
        """Return the secret of that name, or UNKNOWN."""
        return self._keys.get(kid) or KeyMiss.UNKNOWN

    async def refresh(self) -> None:
        """Do nothing: there is nowhere to fetch secrets from."""

    async def aclose(self) -> None:
        """Do nothing: nothing is under way."""
