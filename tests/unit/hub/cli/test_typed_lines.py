import asyncio
import os
from collections.abc import Iterator
from pathlib import Path

import pytest

from hub.cli.typed_lines import typed_lines


@pytest.fixture
def pipe() -> Iterator[tuple[int, int]]:
    reading, writing = os.pipe()
    yield reading, writing
    os.close(reading)


async def test_lines_come_as_they_are_typed(pipe: tuple[int, int]) -> None:
    reading, writing = pipe
    lines = typed_lines(reading)
    os.write(writing, b"one\ntw")
    assert await anext(lines) == "one"
    second = asyncio.ensure_future(anext(lines))
    await asyncio.sleep(0)
    assert not second.done()
    os.write(writing, b"o\n\nlast")
    os.close(writing)
    assert await second == "two"
    assert [line async for line in lines] == ["", "last"]


async def test_a_character_may_come_in_halves(pipe: tuple[int, int]) -> None:
    reading, writing = pipe
    lines = typed_lines(reading)
    os.write(writing, b"a\xc3")
    first = asyncio.ensure_future(anext(lines))
    await asyncio.sleep(0.01)
    os.write(writing, b"\xa4\n\xff")
    os.close(writing)
    assert await first == "aä"
    assert [line async for line in lines] == ["\N{REPLACEMENT CHARACTER}"]


async def test_a_plain_file(tmp_path: Path) -> None:
    path = tmp_path / "typed"
    path.write_text("one\ntwo\n")
    descriptor = os.open(path, os.O_RDONLY)
    assert [line async for line in typed_lines(descriptor)] == ["one", "two"]
    os.close(descriptor)


async def test_nothing_at_all() -> None:
    descriptor = os.open(os.devnull, os.O_RDONLY)
    assert [line async for line in typed_lines(descriptor)] == []
    os.close(descriptor)


async def test_waiting_can_be_cancelled(pipe: tuple[int, int]) -> None:
    reading, writing = pipe
    waiting = asyncio.ensure_future(anext(typed_lines(reading)))
    await asyncio.sleep(0)
    waiting.cancel()
    with pytest.raises(asyncio.CancelledError):
        await waiting
    assert not asyncio.get_running_loop().remove_reader(reading)
    os.close(writing)
