"""Evenly full workers: who is fuller than another passes on what it has just accepted (ADR 0012).

The kernel deals connections out by a hash: by chance, and not by who has how many. So each worker writes on a board how
many it has. A connection that finds its worker fuller than the emptiest one is held back for a moment, in which a crowd
that came at once is counted everywhere. If its worker is still fuller then, it goes to the emptiest, unread: as a
descriptor, over a Unix socket in the private folder.

Who can't pass a connection on keeps it, and one that was passed on stays where it is. With each goes the end of a pipe,
on which the other worker says that it has it: if that dies before, the pipe closes unsaid, and the sender, which still
has its copy, lets the connection in itself.
"""

import array
import asyncio
import contextlib
import os
import socket
from collections.abc import Callable

from hub.workers.board import Board
from hub.workers.place import Place, entrance_of

HOLD_S = 0.01
"""How long a connection is held back until it is decided where it goes."""

BEAT_S = 0.1
"""How often a worker writes how many connections it has, besides when one comes: those that went are seen then."""

HELD_MOST = 64
"""How many may be held back; more are let in at once."""

_ON_THEIR_WAY_BYTES = 8192
"""Some 20 connections from one worker; for all that are on their way to one worker the kernel has a bound, too."""

_TAKEN_AT_ONCE = 32
_RIGHTS = socket.CMSG_LEN(2 * array.array("i").itemsize)


class Balance:
    """One worker's part. It is there for the others from `open` to `close`. Make it inside the running loop.

    Args:
        place: Whose folder and board the workers share.
    """

    def __init__(self, place: Place) -> None:
        self._folder = place.folder
        self._own = entrance_of(place.folder, place.number)
        self._board = Board(place.board, place.number)
        self._loop = asyncio.get_running_loop()
        self._present = False
        self._entrance, self._way = _datagrams(), _datagrams()
        self._way.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, _ON_THEIR_WAY_BYTES)
        self._held: set[socket.socket] = set()
        self._sent: dict[int, socket.socket] = {}
        self._entering: set[asyncio.Task[None]] = set()
        self._without_protocol = 0
        self._next_beat: asyncio.TimerHandle
        self._sockets: Callable[[], int]
        self._protocol: Callable[[], asyncio.BaseProtocol]

    @property
    def held(self) -> int:
        """How many connections are held back, or on their way to another worker."""
        return len(self._held) + len(self._sent)

    def open(self, sockets: Callable[[], int], protocol: Callable[[], asyncio.BaseProtocol]) -> None:
        """Take connections from the others from now on, and pass some on to them.

        Args:
            sockets: Returns how many connections have a protocol.
            protocol: Makes one for a connection that stays here: it calls `entered`, and doesn't ask `takes`.
        """
        self._sockets, self._protocol = sockets, protocol
        self._own.unlink(missing_ok=True)  # of one that was killed
        self._entrance.bind(str(self._own))
        self._loop.add_reader(self._entrance, self._receive)
        self._present = True
        self._beat()

    def close(self) -> None:
        """Be gone for the others, and keep what comes; what they have sent until now is taken."""
        if self._present:
            self._present = False
            self._next_beat.cancel()
            self._board.leave()
            self._own.unlink(missing_ok=True)

    async def stop(self) -> None:
        """End, once nobody is served any more."""
        self.close()
        self._loop.remove_reader(self._entrance)
        for answer in self._sent:
            self._loop.remove_reader(answer)
            os.close(answer)
        for link in (self._way, self._entrance, *self._held, *self._sent.values()):
            link.close()
        self._held.clear()
        self._sent.clear()
        await asyncio.gather(*self._entering)

    def takes(self, descriptor: int) -> bool:
        """Say whether a connection that was just accepted is taken over: then the caller is to close its own copy.

        It comes back with another protocol, here or at another worker.
        """
        if not self._present:
            return False
        self._count(1)
        if self._board.emptier() is None or len(self._held) >= HELD_MOST:
            return False
        try:
            link = socket.socket(fileno=os.dup(descriptor))
        except OSError:
            return False  # no descriptor left
        self._held.add(link)
        self._loop.call_later(HOLD_S, self._decide, link)
        return True

    def entered(self) -> None:
        """Hear that a connection has got its protocol, which counts it from now on."""
        self._without_protocol -= 1

    def _decide(self, link: socket.socket) -> None:
        if link not in self._held:
            return  # stopped meanwhile
        if not self._passed_on(link):
            self._enter(link)
        self._held.discard(link)

    def _passed_on(self, link: socket.socket) -> bool:
        if not self._present:
            return False
        self._count()
        number = self._board.emptier()
        if number is None or not self._send(link, number):
            return False
        self._board.moved(number)
        return True

    def _send(self, link: socket.socket, number: int) -> bool:
        try:
            answer, theirs = os.pipe()
        except OSError:
            return False  # no descriptor left
        rights = [(socket.SOL_SOCKET, socket.SCM_RIGHTS, array.array("i", [link.fileno(), theirs]))]
        try:
            self._way.sendmsg([b"\0"], rights, 0, str(entrance_of(self._folder, number)))
        except OSError as fault:
            if isinstance(fault, ConnectionRefusedError | FileNotFoundError):
                self._board.strike(number)  # It was killed. If another one has come just now, that will count again.
            os.close(answer)  # Otherwise it doesn't keep up.
            return False
        finally:
            os.close(theirs)
        self._sent[answer] = link
        self._loop.add_reader(answer, self._answered, answer)
        return True

    def _answered(self, answer: int) -> None:
        self._loop.remove_reader(answer)
        link = self._sent.pop(answer)
        if os.read(answer, 1):
            link.close()
        else:
            self._enter(link)
        os.close(answer)

    def _beat(self) -> None:
        self._count()
        self._next_beat = self._loop.call_later(BEAT_S, self._beat)

    def _count(self, more: int = 0) -> None:
        self._receive()  # The others have counted what is on its way.
        self._board.write(self._sockets() + len(self._held) + self._without_protocol + more)

    def _receive(self) -> None:
        for _ in range(_TAKEN_AT_ONCE):
            try:
                _, rights, _, _ = self._entrance.recvmsg(1, _RIGHTS, socket.MSG_CMSG_CLOEXEC)
            except OSError:
                return
            self._came([each for _, _, some in rights for each in array.array("i", some)])

    def _came(self, descriptors: list[int]) -> None:
        if len(descriptors) == 2:  # noqa: PLR2004 - the connection and the pipe
            self._enter(socket.socket(fileno=descriptors.pop(0)))
            with contextlib.suppress(OSError):  # The sender is gone.
                os.write(descriptors[0], b"\0")
        for descriptor in descriptors:  # Without the pipe there was no room here; the sender keeps the connection.
            os.close(descriptor)

    def _enter(self, link: socket.socket) -> None:
        self._without_protocol += 1
        entering = self._loop.create_task(self._let_in(link))
        self._entering.add(entering)
        entering.add_done_callback(self._entering.discard)

    async def _let_in(self, link: socket.socket) -> None:
        try:
            await self._loop.connect_accepted_socket(self._protocol, link)
        except OSError:
            link.close()
            self.entered()


def _datagrams() -> socket.socket:
    made = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
    made.setblocking(False)  # noqa: FBT003 - positional only
    return made
