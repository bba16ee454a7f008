"""Where a key set comes from: a file, or an http(s) URL. Neither holds up the event loop, and both are bounded."""

import asyncio
import logging
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import httpx

MOST_BYTES = 256 * 1024
"""The largest key set that is read."""

FETCH_DEADLINE_S = 4.0
"""The longest that one read takes: within the deadline for a handshake."""

_HTTP_OK = 200

logging.getLogger("httpx").setLevel(logging.WARNING)  # a line of its INFO level quotes the URL


class FetchError(Exception):
    """The key set couldn't be read. The text never holds the URL, which may carry a password."""


async def fetch_document(source: str) -> bytes:
    """Read the key set from a path or an `http(s)://` URL; redirects are not followed.

    Raises:
        FetchError: If it can't be read within FETCH_DEADLINE_S, or is larger than MOST_BYTES.
    """
    read = _fetch_url if "://" in source else _read_file
    try:
        async with asyncio.timeout(FETCH_DEADLINE_S):
            document = await read(source)
    except TimeoutError:
        raise FetchError(f"not answered within {FETCH_DEADLINE_S:g} s") from None
    if len(document) > MOST_BYTES:
        raise FetchError(f"larger than {MOST_BYTES} bytes")
    return document


async def _read_file(path: str) -> bytes:
    def read() -> bytes:
        with Path(path).open("rb") as file:
            return file.read(MOST_BYTES + 1)

    try:
        return await asyncio.to_thread(read)
    except OSError as error:
        raise FetchError(f"the file can't be read ({error.strerror})") from None


def _new_client() -> "httpx.AsyncClient":
    import httpx

    return httpx.AsyncClient(timeout=FETCH_DEADLINE_S)


async def _fetch_url(url: str) -> bytes:
    # In a thread, as the import and the loading of root certificates take tens of milliseconds.
    client = await asyncio.to_thread(_new_client)
    import httpx

    # Uncompressed, so that the bound on bytes holds for what is received and for what it becomes.
    headers = {"Accept": "application/jwk-set+json, application/json", "Accept-Encoding": "identity"}
    document = bytearray()
    try:
        async with (
            client,
            client.stream("GET", url, headers=headers) as response,
        ):
            if response.status_code != _HTTP_OK:
                raise FetchError(f"answered with status {response.status_code}")
            async for chunk in response.aiter_raw():
                document += chunk
                if len(document) > MOST_BYTES:
                    break
    except (httpx.HTTPError, httpx.InvalidURL) as error:
        raise FetchError(f"can't be fetched ({type(error).__name__})") from None
    return bytes(document)
