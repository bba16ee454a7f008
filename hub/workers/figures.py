"""Workers' figures on one page: whichever is asked for `/metrics` asks the others (docs/operations.md, "Workers").

Each worker answers on a Unix socket in the parent's private folder with its own page, every sample of which carries
the worker's number. So the pages only have to be sorted by metric: nobody reads the others' numbers.
"""

import asyncio
import logging
import re
from asyncio import StreamReader, StreamWriter
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any

from prometheus_client import CollectorRegistry, Metric, generate_latest
from prometheus_client.core import GaugeMetricFamily
from prometheus_client.registry import Collector
from sanic import Sanic

from hub.workers.place import socket_of

log = logging.getLogger("hub.workers")

ANSWER_S = 1.0
"""How long the others may take, all of them together."""

PAGE_BYTES = 4 << 20
_END = b"# EOF\n"


class Figures:
    """One worker's part.

    Args:
        folder: The parent's private folder.
        number: This worker's.
    """

    def __init__(self, folder: Path, number: int) -> None:
        self._folder = folder
        self._own = socket_of(folder, number)
        self._number = number
        self._registry = CollectorRegistry(auto_describe=False)
        self._server: asyncio.Server | None = None

    def wire(self, app: Sanic[Any, Any]) -> None:
        """Have the application answer for all workers."""
        self._registry.register(_Numbered(app.ctx.registry, str(self._number)))
        app.ctx.figures = self.of_all

    async def start(self) -> None:
        """Answer the others from now on."""
        self._server = await asyncio.start_unix_server(self._answer, self._own)

    async def stop(self) -> None:
        """Answer nobody any more."""
        if self._server is not None:
            self._server.close()
            await self._server.wait_closed()
            self._own.unlink(missing_ok=True)

    async def of_all(self) -> bytes:
        """Return the page of all workers that answer in time."""
        others = [path for path in self._folder.glob("*.sock") if path != self._own]
        pages = await asyncio.gather(*map(_ask, others))
        answers = [page for page in pages if page is not None]
        if len(answers) < len(others):
            log.warning("%d of %d other workers did not tell their figures", len(others) - len(answers), len(others))
        silent = GaugeMetricFamily(
            "hub_workers_silent", "Workers that did not tell their figures.", len(others) - len(answers)
        )
        return merged([self._page(), *answers, _page_of([silent])])

    async def _answer(self, _: StreamReader, writer: StreamWriter) -> None:
        try:
            writer.write(self._page() + _END)
            async with asyncio.timeout(ANSWER_S):
                await writer.drain()
        except (OSError, TimeoutError):
            log.debug("another worker did not wait for these figures")
        finally:
            writer.close()

    def _page(self) -> bytes:
        return generate_latest(self._registry)


class _Numbered(Collector):
    """A registry's metrics, each sample with the worker's number."""

    def __init__(self, registry: CollectorRegistry, number: str) -> None:
        self._registry = registry
        self._number = number

    def collect(self) -> Iterator[Metric]:
        for metric in self._registry.collect():
            metric.samples = [
                sample._replace(labels={**sample.labels, "worker": self._number}) for sample in metric.samples
            ]
            yield metric


class _Fixed(Collector):
    def __init__(self, metrics: Iterable[Metric]) -> None:
        self._metrics = metrics

    def collect(self) -> Iterable[Metric]:
        return self._metrics


def _page_of(metrics: Iterable[Metric]) -> bytes:
    registry = CollectorRegistry(auto_describe=False)
    registry.register(_Fixed(metrics))
    return generate_latest(registry)


def merged(pages: Iterable[bytes]) -> bytes:
    """Put pages of the text format together: all samples of a metric stand in one place, as the format asks for.

    A page is what `generate_latest` makes: each metric begins with its two lines HELP and TYPE.
    """
    samples: dict[tuple[bytes, bytes], list[bytes]] = {}
    for page in pages:
        for block in re.split(rb"^(?=# HELP )", page, flags=re.MULTILINE)[1:]:
            about, kind, own = block.split(b"\n", 2)
            samples.setdefault((about, kind), []).append(own)
    return b"".join(b"\n".join([*head, b"".join(blocks)]) for head, blocks in samples.items())


async def _ask(path: Path) -> bytes | None:
    """Return a worker's page, or None if it doesn't tell it whole and in time."""
    try:
        async with asyncio.timeout(ANSWER_S):
            reader, writer = await asyncio.open_unix_connection(path, limit=PAGE_BYTES)
            try:
                page = await reader.readuntil(_END)
            finally:
                writer.close()
    except (OSError, TimeoutError, EOFError, asyncio.LimitOverrunError):
        return None
    return page.removesuffix(_END)
