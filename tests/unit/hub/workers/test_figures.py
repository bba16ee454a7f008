"""Workers' pages become one, in which every sample has a number and every metric one place."""

import asyncio
import socket
import tempfile
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager
from pathlib import Path
from types import SimpleNamespace
from typing import Any, cast

import pytest
from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram
from prometheus_client.parser import text_string_to_metric_families
from sanic import Sanic

from hub.workers import figures
from hub.workers.figures import Figures, merged
from hub.workers.place import socket_of


@pytest.fixture
def folder() -> Iterator[Path]:
    """Its path is short enough for sockets."""
    with tempfile.TemporaryDirectory(prefix="hub-") as name:
        yield Path(name)


@asynccontextmanager
async def worker(folder: Path, number: int, messages: int = 0) -> AsyncIterator[Figures]:
    registry = CollectorRegistry(auto_describe=False)
    Counter("messages", 'Some "messages".\nAll.', ["kind"], registry=registry).labels("a\nb").inc(messages)
    Histogram("seconds", "Times.", buckets=[1.0], registry=registry).observe(0.5)
    Gauge(f"only_{number}", "Of this one.", registry=registry).set(number)
    own = Figures(folder, number)
    own.wire(cast("Sanic[Any, Any]", SimpleNamespace(ctx=SimpleNamespace(registry=registry))))
    await own.start()
    try:
        yield own
    finally:
        await own.stop()


def samples(page: bytes) -> dict[tuple[str, str | None], float]:
    families = list(text_string_to_metric_families(page.decode()))
    assert len({family.name for family in families}) == len(families), "each metric has one place"
    return {
        (sample.name, sample.labels.get("worker")): sample.value for family in families for sample in family.samples
    }


async def test_whoever_is_asked_tells_the_figures_of_all(folder: Path) -> None:
    async with worker(folder, 0, 5) as first, worker(folder, 2, 7) as other:
        for page in (samples(await first.of_all()), samples(await other.of_all())):
            assert page["messages_total", "0"] == 5
            assert page["messages_total", "2"] == 7
            assert page["seconds_bucket", "0"] == page["seconds_count", "2"] == 1
            assert page["only_2", "2"] == 2
            assert page["hub_workers_silent", None] == 0
            assert {number for _, number in page} == {"0", "2", None}


async def test_the_registry_itself_stays_as_it_is(folder: Path) -> None:
    async with worker(folder, 0, 5) as only:
        assert await only.of_all() == await only.of_all()


async def test_one_that_was_killed_is_counted(folder: Path) -> None:
    async with worker(folder, 0) as first:
        with socket.socket(socket.AF_UNIX) as dead:
            dead.bind(str(socket_of(folder, 1)))
        page = samples(await first.of_all())
        assert page["hub_workers_silent", None] == 1
        async with worker(folder, 1, 3):  # the same number again
            page = samples(await first.of_all())
            assert (page["hub_workers_silent", None], page["messages_total", "1"]) == (0, 3)


@pytest.mark.parametrize("answer", [b"", b"# HELP messages_total\n", b"x" * (1 << 17)])
async def test_half_a_page_is_none(folder: Path, answer: bytes, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(figures, "PAGE_BYTES", 1 << 16)

    async def tell(_: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        writer.write(answer)
        writer.close()

    server = await asyncio.start_unix_server(tell, socket_of(folder, 1))
    async with worker(folder, 0) as first, server:
        assert samples(await first.of_all())["hub_workers_silent", None] == 1


async def test_one_that_hangs_is_not_waited_for(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(figures, "ANSWER_S", 0.05)
    with socket.socket(socket.AF_UNIX) as hangs:
        hangs.bind(str(socket_of(folder, 1)))
        hangs.listen(1)
        async with worker(folder, 0) as first:
            assert samples(await first.of_all())["hub_workers_silent", None] == 1


async def test_one_that_ended_leaves_no_socket_but_the_folder_for_the_next(folder: Path) -> None:
    for _ in range(2):
        async with worker(folder, 0):
            assert socket_of(folder, 0).exists()
        assert list(folder.iterdir()) == []


def test_pages_are_sorted_by_metric() -> None:
    one = b'# HELP a x\n# TYPE a gauge\na{worker="0"} 1\n# HELP b y\n# TYPE b gauge\n'
    two = b'# HELP a x\n# TYPE a gauge\na{worker="1"} 2\n# HELP c z\n# TYPE c gauge\nc 3\n'
    assert merged([one, two]) == (
        b'# HELP a x\n# TYPE a gauge\na{worker="0"} 1\na{worker="1"} 2\n'
        b"# HELP b y\n# TYPE b gauge\n# HELP c z\n# TYPE c gauge\nc 3\n"
    )
