"""One process has an address for itself; several share it."""

import errno
import socket
from collections.abc import Callable, Iterator
from contextlib import ExitStack

import pytest

from hub.address import listen, share, url


@pytest.fixture
def kept() -> Iterator[ExitStack]:
    with ExitStack() as stack:
        yield stack


def refused(attempt: Callable[[], object]) -> int | None:
    with pytest.raises(OSError, match="ddress") as caught:
        attempt()
    return caught.value.errno


@pytest.mark.parametrize("host", ["127.0.0.1", "::1"])
def test_sockets_that_share_an_address_have_the_same_port_and_do_not_listen_yet(host: str, kept: ExitStack) -> None:
    port, bind = share(host, 0)
    sockets = [kept.enter_context(bind()) for _ in range(3)]
    assert {each.getsockname()[1] for each in sockets} == {port}
    with pytest.raises(ConnectionRefusedError), socket.create_connection((host, port)):
        pass
    assert not any(each.getblocking() for each in sockets)


def test_one_that_listens_gets_all_connections_and_one_that_is_closed_none(kept: ExitStack) -> None:
    port, bind = share("127.0.0.1", 0)
    gone, here = bind(), kept.enter_context(bind())
    gone.listen(8)
    gone.close()
    here.listen(64)
    for _ in range(20):
        kept.enter_context(socket.create_connection(("127.0.0.1", port)))
    for _ in range(20):
        here.accept()[0].close()


def test_an_address_is_not_shared_with_another_hub(kept: ExitStack) -> None:
    port, bind = share("127.0.0.1", 0)
    shared = kept.enter_context(bind())
    shared.listen(1)
    assert refused(lambda: share("127.0.0.1", port)) == errno.EADDRINUSE
    assert refused(lambda: listen("127.0.0.1", port, 1)) == errno.EADDRINUSE
    with listen("127.0.0.1", 0, 1) as alone:
        assert refused(lambda: share("127.0.0.1", alone.getsockname()[1])) == errno.EADDRINUSE


def test_an_address_that_was_given_is_shared_and_free_again_afterwards(kept: ExitStack) -> None:
    with listen("127.0.0.1", 0, 1) as probe:
        port = probe.getsockname()[1]
    for _ in range(2):
        got, bind = share("127.0.0.1", port)
        assert got == port
        with bind() as one, bind() as other:
            one.listen(1)
            other.listen(1)


def test_a_name_that_is_not_here_says_which() -> None:
    with pytest.raises(OSError, match=r"192\.0\.2\.1 port 9"):
        share("192.0.2.1", 9)


def test_an_address_is_written_as_a_url() -> None:
    assert url("127.0.0.1", 80, tls=False) == "http://127.0.0.1:80"
    assert url("::1", 443, tls=True) == "https://[::1]:443"
