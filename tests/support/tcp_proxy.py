"""A TCP proxy of the tests' own: what stands between two that talk, to be moved and cut."""

import asyncio
import contextlib
from collections.abc import Callable
from types import TracebackType
from typing import Final, Self

CHUNK = 1 << 16

THERE: Final = "there"
"""The way from who connected to the target."""
BACK: Final = "back"
WAYS: Final = (THERE, BACK)


class TcpProxy:
    """Passes bytes on between a loopback port of its own and `target`, in the running loop.

    Attributes:
        target: The loopback port that new connections are passed on to.
        refuses: Whether new connections are closed at once.
        delay_s: How much later everything arrives.
    """

    def __init__(self, target: int) -> None:
        self.target = target
        self.refuses = False
        self.delay_s = 0.0
        self._flows = {way: asyncio.Event() for way in WAYS}
        self.release()
        self._server: asyncio.Server | None = None
        self._links: set[asyncio.Task[None]] = set()

    @property
    def port(self) -> int:
        assert self._server is not None
        port: int = self._server.sockets[0].getsockname()[1]
        return port

    async def __aenter__(self) -> Self:
        self._server = await asyncio.start_server(self._meet, "127.0.0.1", 0)
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        assert self._server is not None
        self._server.close()
        await self.cut()
        await self._server.wait_closed()

    async def cut(self) -> None:
        """Reset all connections; new ones are passed on as before."""
        links = [*self._links]
        for link in links:
            link.cancel()
        await asyncio.gather(*links, return_exceptions=True)

    def hold(self, *ways: str) -> None:
        """Let nothing through these ways (both, if none is named), as a network that loses everything."""
        for way in ways or WAYS:
            self._flows[way].clear()

    def release(self) -> None:
        """Let through what was held, too: it was sent again and again meanwhile."""
        for flow in self._flows.values():
            flow.set()

    def next_target(self) -> int:
        """Where the connection that came just now is passed on to."""
        return self.target

    async def _meet(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        link = asyncio.create_task(self._link(reader, writer))
        self._links.add(link)
        await asyncio.wait([link])
        self._links.discard(link)
        writer.transport.abort()

    async def _link(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        if not self.refuses:
            with contextlib.suppress(OSError):  # as good as refused
                await self._connect(reader, writer)

    async def _connect(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        far_reader, far_writer = await asyncio.open_connection("127.0.0.1", self.next_target())
        try:
            async with asyncio.TaskGroup() as both:
                both.create_task(self._pass_on(reader, far_writer, self._flows[THERE]))
                both.create_task(self._pass_on(far_reader, writer, self._flows[BACK]))
        finally:
            far_writer.transport.abort()

    async def _pass_on(self, source: asyncio.StreamReader, sink: asyncio.StreamWriter, flows: asyncio.Event) -> None:
        """Pass one direction on, to its end and with its end."""
        try:
            while received := await source.read(CHUNK):
                if self.delay_s:
                    await asyncio.sleep(self.delay_s)
                await flows.wait()
                sink.write(received)
                await sink.drain()
            await flows.wait()
            if sink.can_write_eof():
                sink.write_eof()
        except OSError:
            sink.transport.abort()  # A connection that is reset on one side is so on the other.


class Door(TcpProxy):
    """One client's way in: each new connection goes where `choose` says, as with a balancer in front of many nodes."""

    def __init__(self, choose: Callable[[], int]) -> None:
        super().__init__(0)
        self._choose = choose

    def next_target(self) -> int:
        self.target = self._choose()
        return self.target
