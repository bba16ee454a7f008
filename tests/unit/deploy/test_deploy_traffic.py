"""The real nginx and the real HAProxy, on the configurations of deploy/, in front of two real hubs on one Valkey."""

import asyncio
import http.client
import secrets
import signal
import time
from collections import Counter
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import AsyncExitStack, ExitStack, asynccontextmanager, closing
from dataclasses import dataclass

import pytest
import trustme
from websockets.exceptions import InvalidStatus

from tests.support.clients import Close, Peer, connection, desktop, mobile, new_name, say
from tests.support.deploy_proxies import HAPROXY, NGINX, Kind, Proxy, free_port, must_be_here
from tests.support.hub_process import HubProcess
from tests.support.tokens import Minter
from tests.support.valkey import ValkeyServer

KINDS = (NGINX, HAPROXY)
TOKEN_CHARS = 8192
"""The longest token (docs/protocol.md, "Tokens")."""
INSIDE = (
    "/internal/presence/users/me",
    "/metrics",
    "/docs",
    "/docs/openapi.json",
    "/healthz",
    "/readyz",
    "/",
    "/ws",
    "/ws/",
    "/ws/desktop/../../metrics",
    "/ws/mobile%2F..%2F..%2Fmetrics",
    "/ws/mobile/..%2f..%2finternal/presence/users/me",
    "//metrics",
    "/%6detrics",
    "/METRICS",
)


@dataclass(frozen=True)
class Hubs:
    """Two hubs that know the same tokens and share a Valkey. `front`: what clients take for a hub."""

    both: tuple[HubProcess, HubProcess]
    front: HubProcess

    @property
    def ports(self) -> tuple[int, int]:
        return self.both[0].port, self.both[1].port

    def behind(self, proxy: Proxy) -> HubProcess:
        """The front, now that it is this proxy."""
        self.front.url = f"http://127.0.0.1:{proxy.port}"
        return self.front


@dataclass(frozen=True)
class Site:
    """Two hubs behind a proxy. `front`: where clients connect."""

    proxy: Proxy
    hubs: Hubs
    front: HubProcess


NewProxy = Callable[[tuple[int, int]], Proxy]
"""The fixture `new_proxy`: a proxy in front of two ports, which the test starts itself."""


@pytest.fixture(scope="module")
def hubs() -> Iterator[Hubs]:
    with ExitStack() as stack:
        valkey = stack.enter_context(closing(ValkeyServer()))
        valkey.start()
        secret = secrets.token_urlsafe(32)
        shared = {"HUB_JWT_SECRET": secret, "HUB_REDIS_URL": valkey.url, "HUB_OFFLINE_GRACE_S": "0"}
        first, second = (
            stack.enter_context(closing(HubProcess({**shared, "HUB_NODE_NAME": name}))) for name in ("hub-1", "hub-2")
        )
        front = stack.enter_context(closing(HubProcess()))
        front.mint = Minter(secret)
        yield Hubs((first.start(), second.start()), front)


@pytest.fixture(params=KINDS, ids=[kind.name for kind in KINDS])
def kind(request: pytest.FixtureRequest) -> Kind:
    kind: Kind = request.param
    if kind.find() is None:
        assert not must_be_here(), f"make setup installs {kind.name} on Linux"
        pytest.skip(f"there is no {kind.name} for this machine")
    return kind


@pytest.fixture
def new_proxy(kind: Kind) -> Iterator[NewProxy]:
    with ExitStack() as stack:
        yield lambda ports: stack.enter_context(closing(Proxy(kind, ports)))


@pytest.fixture
def site(new_proxy: NewProxy, hubs: Hubs) -> Site:
    proxy = new_proxy(hubs.ports).start()
    return Site(proxy, hubs, hubs.behind(proxy))


def raw_get(port: int, path: str, **headers: str) -> int:
    """The status for a path that nobody has tidied up."""
    line = http.client.HTTPConnection("127.0.0.1", port, timeout=10)
    try:
        line.request("GET", path, headers=headers)
        return line.getresponse().status
    finally:
        line.close()


async def phone_beside(agent: Peer, front: HubProcess, user: str, stack: AsyncExitStack) -> Peer:
    """A phone on the same hub as the desktop: with two hubs, one of the first few."""
    for _ in range(6):
        phone = await stack.enter_async_context(mobile(front, user))
        if phone.welcome["node_id"] == agent.welcome["node_id"]:
            return phone
    raise AssertionError("all phones came to the other hub")


async def spread(front: HubProcess, connections: int) -> Counter[str]:
    """How many of these connections, all open at once, each hub got."""
    async with AsyncExitStack() as stack:
        user = new_name("u")
        phones = [await stack.enter_async_context(mobile(front, user)) for _ in range(connections)]
        return Counter(phone.welcome["node_id"] for phone in phones)


async def until_both_are_used(front: HubProcess, within_s: float = 15.0) -> None:
    deadline = time.monotonic() + within_s
    while len(await spread(front, 2)) < 2:
        assert time.monotonic() < deadline, "one hub gets nothing"
        await asyncio.sleep(0.05)


def test_the_proxy_itself_finds_no_fault_in_its_configuration(new_proxy: NewProxy) -> None:
    proxy = new_proxy((1, 2))
    said = proxy.check()
    assert said.returncode == 0, said.stderr
    assert "deprecated" not in said.stderr


def test_tls_takes_the_lines_that_are_commented_out(kind: Kind, new_proxy: NewProxy) -> None:
    issued = trustme.CA().issue_cert("hub.example")
    chain = b"".join(pem.bytes() for pem in issued.cert_chain_pems)
    proxy = new_proxy((1, 2))
    if kind is NGINX:
        (proxy.folder / "tls.crt").write_bytes(chain)
        (proxy.folder / "tls.key").write_bytes(issued.private_key_pem.bytes())
        proxy.change("hub.conf", "#listen", "listen")
        proxy.change("hub.conf", "#ssl_", "ssl_")
        proxy.change("hub.conf", "/etc/nginx/hub/", f"{proxy.folder}/")
    else:
        (proxy.folder / "hub.pem").write_bytes(chain + issued.private_key_pem.bytes())
        proxy.change("haproxy.cfg", "#bind", "bind")
        proxy.change("haproxy.cfg", "/etc/haproxy/", f"{proxy.folder}/")
    said = proxy.check()
    assert said.returncode == 0, said.stderr


async def test_a_desktop_and_a_phone_talk_through_the_proxy(site: Site) -> None:
    desktop_id, user = new_name("d"), new_name("u")
    async with AsyncExitStack() as stack:
        agent = await stack.enter_async_context(desktop(site.front, desktop_id, user))
        phone = await phone_beside(agent, site.front, user, stack)
        await phone.expect("desktop:online", desktop_id=desktop_id)
        await say(phone, desktop_id, "m-1", "hello")
        assert (await agent.expect("user:message")).payload["text"] == "hello"
        await agent.send("agent:response", {"text": "x" * 200_000})
        assert len((await phone.expect("agent:response")).payload["text"]) == 200_000


async def test_connections_spread_evenly(site: Site) -> None:
    assert sorted((await spread(site.front, 8)).values()) == [4, 4]


async def test_newcomers_go_to_the_hub_with_the_fewest(site: Site) -> None:
    async with AsyncExitStack() as stack:
        user = new_name("u")
        phones = [await stack.enter_async_context(mobile(site.front, user)) for _ in range(4)]
        emptied = phones[0].welcome["node_id"]
        for phone in phones:
            if phone.welcome["node_id"] == emptied:
                await phone.leave()
        deadline = time.monotonic() + 10
        while await spread(site.front, 2) != {emptied: 2}:
            assert time.monotonic() < deadline, "newcomers are dealt in turn"


async def test_the_longest_token_there_may_be_comes_through(site: Site) -> None:
    short = len(site.front.mint.mobile(new_name("u"), padding=""))
    token = site.front.mint.mobile(new_name("u"), padding="x" * ((TOKEN_CHARS - short) * 3 // 4 - 8))
    assert TOKEN_CHARS - 20 < len(token) <= TOKEN_CHARS
    async with connection(site.front, f"/ws/mobile?token={token}") as phone:
        await phone.expect("welcome")


@pytest.mark.parametrize("path", INSIDE)
def test_nothing_but_the_paths_of_clients_is_reached_from_outside(site: Site, path: str) -> None:
    token = site.front.mint.service()
    assert raw_get(site.proxy.port, path, Authorization=f"Bearer {token}") in {400, 404}


def test_who_is_inside_asks_a_hub_directly(hubs: Hubs) -> None:
    assert raw_get(hubs.ports[0], "/metrics") == 200
    assert raw_get(hubs.ports[0], INSIDE[0], Authorization=f"Bearer {hubs.front.mint.service()}") == 200


def test_the_proxy_says_that_it_lives_without_asking_a_hub(new_proxy: NewProxy) -> None:
    proxy = new_proxy((free_port(), free_port())).start()
    assert raw_get(proxy.port, "/proxy-healthz") in {200, 204}


async def test_what_a_hub_refuses_is_told_as_it_said_it(site: Site) -> None:
    with pytest.raises(InvalidStatus) as refused:
        async with connection(site.front, "/ws/mobile", token="nonsense"):
            pass
    assert refused.value.response.status_code == 401
    assert refused.value.response.headers["Content-Type"] == "application/problem+json"


async def test_a_hub_with_a_redis_of_its_own_writes_no_file(site: Site) -> None:
    async with mobile(site.front, new_name("u")):
        assert [hub for hub in site.hubs.both if (hub.folder / "data").exists()] == []


@pytest.mark.timeout(120)
async def test_a_rolling_restart_lets_everybody_in_and_drops_nobody_without_goodbye(site: Site) -> None:
    for hub in site.hubs.both:
        await until_both_are_used(site.front)
        user = new_name("u")
        async with AsyncExitStack() as stack:
            phones = [await stack.enter_async_context(mobile(site.front, user)) for _ in range(4)]
            port = hub.port
            leavers = [phone for phone in phones if phone.welcome["node_id"] == node_id_of(hub)]
            assert len(leavers) == 2
            hub.signal(signal.SIGTERM)
            came = 0
            while hub.running:
                async with mobile(site.front, new_name("u")):
                    came += 1
            assert came > 0
            for phone in leavers:
                said, closed = await phone.last_words()
                assert [message.type for message in said][-1] == "goodbye"
                assert closed == Close(1012, "restarting")
            hub.start(HUB_PORT=str(port))
            for phone in phones:
                if phone not in leavers:
                    await phone.sync()


def node_id_of(hub: HubProcess) -> str:
    """The node id that its welcome says."""
    [line] = [line for line in hub.log.splitlines() if " is ready" in line]
    return line.partition("the node ")[2].partition(" is ready")[0]


async def test_tokens_in_the_query_reach_no_log(new_proxy: NewProxy, hubs: Hubs) -> None:
    token = hubs.front.mint.mobile(new_name("u"))
    for ports, lets_in in ((hubs.ports, True), ((free_port(), free_port()), False)):
        proxy = new_proxy(ports).start()
        if lets_in:
            async with connection(hubs.behind(proxy), f"/ws/mobile?token={token}") as phone:
                await phone.expect("welcome")
        else:
            status = await asyncio.to_thread(raw_get, proxy.port, f"/ws/mobile?token={token}")
            assert status in {502, 503}
        await until_logged(proxy, "/ws/mobile")
        assert token not in proxy.log
        assert token.split(".")[1] not in proxy.log


async def until_logged(proxy: Proxy, text: str) -> None:
    async with asyncio.timeout(10):
        while text not in proxy.log:
            await asyncio.sleep(0.02)


@asynccontextmanager
async def upstream(answer: bytes, heads: list[str]) -> AsyncIterator[int]:
    """A server that notes what it is asked, and answers always the same. Yields its port."""

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        head = await reader.readuntil(b"\r\n\r\n")
        heads.append(head.decode("latin-1"))
        writer.write(answer)
        await writer.drain()
        writer.close()

    server = await asyncio.start_server(serve, "127.0.0.1", 0)
    async with server:
        yield int(server.sockets[0].getsockname()[1])


def upgrade_request(port: int, **headers: str) -> int:
    return raw_get(
        port,
        "/ws/mobile",
        Connection="Upgrade",
        Upgrade="websocket",
        **{"Sec-WebSocket-Version": "13", "Sec-WebSocket-Key": "dGhlIHNhbXBsZSBub25jZQ=="},
        **headers,
    )


async def test_the_upgrade_and_the_clients_true_address_are_passed_on(new_proxy: NewProxy) -> None:
    heads: list[str] = []
    async with upstream(b"HTTP/1.1 401 no\r\nContent-Length: 0\r\nConnection: close\r\n\r\n", heads) as port:
        proxy = new_proxy((port, port)).start()
        forged = {"X-Forwarded-For": "192.0.2.66", "Forwarded": "for=192.0.2.66", "Origin": "https://app.example"}
        assert await asyncio.to_thread(upgrade_request, proxy.port, **forged) == 401
    [head] = [head.lower() for head in heads if "/ws/mobile" in head]
    lines = head.split("\r\n")
    assert lines[0] == "get /ws/mobile http/1.1"
    assert "upgrade: websocket" in lines
    assert "connection: upgrade" in lines
    assert "origin: https://app.example" in lines
    assert "x-forwarded-for: 127.0.0.1" in lines
    assert "x-forwarded-proto: http" in lines
    assert "192.0.2.66" not in head


async def test_an_upgrade_that_one_hub_refuses_with_503_goes_to_the_other(kind: Kind, new_proxy: NewProxy) -> None:
    full: list[str] = []
    free: list[str] = []
    busy = b"HTTP/1.1 503 full\r\nContent-Length: 0\r\nRetry-After: 5\r\nConnection: close\r\n\r\n"
    other = b"HTTP/1.1 426 no\r\nContent-Length: 0\r\nConnection: close\r\n\r\n"
    async with upstream(busy, full) as first, upstream(other, free) as second:
        proxy = new_proxy((first, second))
        if kind is HAPROXY:
            proxy.change("haproxy.cfg", "default-server check", "default-server")
        proxy.start()
        statuses = [await asyncio.to_thread(upgrade_request, proxy.port) for _ in range(4)]
    assert statuses == [426] * 4
    assert full
    assert len(free) == 4


@pytest.mark.parametrize("kind", [HAPROXY], ids=["haproxy"], indirect=True)
async def test_haproxy_repeats_nothing_but_upgrades(new_proxy: NewProxy) -> None:
    heads: list[str] = []
    async with upstream(b"HTTP/1.1 503 full\r\nContent-Length: 0\r\nConnection: close\r\n\r\n", heads) as port:
        proxy = new_proxy((port, port))
        proxy.change("haproxy.cfg", "default-server check", "default-server")
        proxy.start()
        assert await asyncio.to_thread(raw_get, proxy.port, "/ws/mobile") == 503
        assert len(heads) == 1
        assert await asyncio.to_thread(upgrade_request, proxy.port) == 503
        assert len(heads) > 2
