"""Public keys that live elsewhere: kept here, fetched again when a token names an unknown one or when they grow old."""

import asyncio
import logging

from actors.clock import Clock
from hub.auth.jwks import JwksError, read_jwks
from hub.auth.jwks_source import FetchError, fetch_document
from hub.auth.keys import KeyMiss, NamedKeys, VerificationKey

REFETCH_S = 30.0
"""The shortest time from one fetch to the next, so that made-up key names don't turn into traffic."""

STALE_S = 600.0
"""Keys older than this are fetched again beside the work, so that a key the issuer withdrew is soon refused."""

_log = logging.getLogger(__name__)


class JwksKeys:
    """A KeySet out of a JWKS file or URL. Use it on one event loop.

    One fetch runs at a time, whoever waits for it; a waiter that is cancelled doesn't end it. When a fetch fails, the
    keys of the last good one stay in use.

    Args:
        source: The path of a file, or an `http(s)://` URL.
        clock: Its monotonic time spaces the fetches.
    """

    def __init__(self, source: str, clock: Clock) -> None:
        self._source = source
        self._clock = clock
        self._keys = NamedKeys(())
        self._begun_at: float | None = None
        self._fetch: asyncio.Task[None] | None = None
        self._failed = False

    def find(self, kid: str | None) -> VerificationKey | KeyMiss:
        """Return the key of that name, or why there is none. Starts a fetch when the keys are old, and doesn't wait."""
        key = self._keys.get(kid)
        if key is not None:
            if self._age() > STALE_S and self._fetch is None:
                self._begin()
            return key
        if self._fetch is not None or self._age() >= REFETCH_S:
            return KeyMiss.NEEDS_FETCH
        return KeyMiss.UNAVAILABLE if self._failed else KeyMiss.UNKNOWN

    async def refresh(self) -> None:
        """Fetch the keys, or wait for the fetch under way; does nothing within REFETCH_S of the last one."""
        if self._fetch is None and self._age() >= REFETCH_S:
            self._begin()
        if self._fetch is not None:
            await asyncio.wait({self._fetch})

    async def aclose(self) -> None:
        """End a fetch under way and wait for its end."""
        if self._fetch is not None:
            fetch, self._fetch = self._fetch, None
            fetch.cancel()
            await asyncio.wait({fetch})

    def _age(self) -> float:
        return float("inf") if self._begun_at is None else self._clock.monotonic() - self._begun_at

    def _begin(self) -> None:
        self._begun_at = self._clock.monotonic()
        self._fetch = asyncio.get_running_loop().create_task(self._fetch_keys(), name="jwks-fetch")

    async def _fetch_keys(self) -> None:
        try:
            self._keys = read_jwks(await fetch_document(self._source))
            self._failed = False
        except (FetchError, JwksError) as error:
            self._failed = True
            _log.warning("the key set of HUB_JWT_JWKS is not usable: %s", error)
        finally:
            self._fetch = None
