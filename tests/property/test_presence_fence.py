"""Writes and ends of desktops' connections on several nodes, in any order, with nodes dying anywhere in between."""

import asyncio
import contextlib
from dataclasses import dataclass, field

from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from actors.ids import DesktopId, NodeId, UserId
from actors.messages import CameOnline, PresenceChange, PresenceRecord, WentOffline
from hub.presence.store import RedisPresenceStore
from hub.store.calls import StoreAway
from hub.store.client import Client, connect
from tests.support.presence import NOW, cut_off, make_record, make_store, told
from tests.support.presence_model import ModelStore
from tests.support.valkey import ValkeyServer

pytest_plugins = ("tests.support.valkey_fixtures",)

DESKTOPS = ("d1", "d2", "d3")
USERS = ("u1", "u2")
NODES = tuple(NodeId(f"node/{letter}") for letter in "abc")
LIMIT = 2
PATIENCE_S = 20  # a machine that stalls is no counter-example

records = st.builds(
    lambda desktop, user, epoch, seen, node: make_record(desktop, user, epoch, last_seen=NOW + seen, node=node),
    st.sampled_from(DESKTOPS),
    st.sampled_from(USERS),
    st.integers(1, 4),
    st.integers(1, 50),
    st.sampled_from(NODES),
)
changes = st.one_of(
    st.builds(CameOnline, records, announce=st.booleans()),
    st.builds(WentOffline, records, st.sampled_from(["closed", "lost"]), st.just(NOW), forget=st.booleans()),
)
lost_nodes = st.sampled_from(NODES)


@settings(max_examples=40, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(history=st.lists(st.one_of(changes, changes, changes, lost_nodes), max_size=25))
def test_the_scripts_do_what_the_model_does(valkey: ValkeyServer, history: list[PresenceChange | NodeId]) -> None:
    valkey.say("FLUSHALL")
    asyncio.run(_compare(valkey, history))


async def _compare(valkey: ValkeyServer, history: list[PresenceChange | NodeId]) -> None:
    client = connect(valkey.url, PATIENCE_S * 1000)
    try:
        store, model = make_store(client, known_limit=LIMIT, timeout_s=PATIENCE_S), ModelStore(known_limit=LIMIT)
        for step in history:
            if isinstance(step, str):
                assert await store.clear_node(step) == await model.clear_node(step)
            else:
                await store.apply([step])
                await model.apply([step])
        for desktop in map(DesktopId, DESKTOPS):
            answer, expected = await store.desktop(desktop), await model.desktop(desktop)
            assert (answer.state, answer.connection_id) == (expected.state, expected.connection_id)
        for user in map(UserId, USERS):
            assert await store.known(user) == await model.known(user)
    finally:
        await client.aclose()
    entries = [(each.desktop_id, each.state, each.reason) for each in model.stream]
    for name in DESKTOPS:  # In which order a node's desktops are cleaned up is Redis' affair.
        assert [each for each in told(valkey) if each[0] == name] == [each for each in entries if each[0] == name]


@dataclass(frozen=True)
class Step:
    """What happens at one node. `trips`: then its link to Redis breaks, and it tries again, or dies.

    `does` is `come`, `go`, `renew`, `die` or `seem_lost`; the last two have `survivors` clean up behind it at once, of
    whom the first may be cut off as well, and then the second starts over.
    """

    does: str
    node: int
    desktop: str
    trips: int | None
    answered: bool
    survivors: int


steps = st.builds(
    Step,
    st.sampled_from(["come", "come", "come", "go", "go", "renew", "die", "seem_lost"]),
    st.integers(0, 2),
    st.sampled_from(DESKTOPS[:2]),
    st.sampled_from([None, None, 0, 1, 2, 3, 4]),
    st.booleans(),
    st.integers(1, 2),
)


@dataclass
class SomeNode:
    """A node as far as presence goes: what it holds in memory, and what waits to be written."""

    node_id: NodeId
    store: RedisPresenceStore
    online: dict[str, PresenceRecord] = field(default_factory=dict)
    waiting: list[PresenceChange] = field(default_factory=list)


class Nodes:
    """Three nodes on one Redis, and what was seen of the records there."""

    def __init__(self, client: Client, valkey: ValkeyServer) -> None:
        self._client = client
        self._valkey = valkey
        self._nodes = [SomeNode(node_id, self._new_store()) for node_id in NODES]
        self._epoch = 0
        self._present = dict.fromkeys(DESKTOPS, False)
        self.seen: dict[str, list[str]] = {desktop: [] for desktop in DESKTOPS}

    async def take(self, step: Step) -> None:
        node = self._nodes[step.node]
        if step.does == "come":
            self._epoch += 1
            record = make_record(step.desktop, epoch=self._epoch, node=node.node_id)
            node.waiting.append(CameOnline(record, announce=step.desktop not in node.online))
            node.online[step.desktop] = record
        elif step.does == "go" and step.desktop in node.online:
            node.waiting.append(WentOffline(node.online.pop(step.desktop), "closed", NOW))
        trips = 99 if step.trips is None else step.trips
        with contextlib.suppress(StoreAway), cut_off(node.store, trips, answered=step.answered):
            await self._write(node, renew=step.does == "renew")
        self._look()
        if step.does in ("die", "seem_lost"):
            if step.does == "die":
                node.store, node.online, node.waiting = self._new_store(), {}, []
            await self._clean_up(node.node_id, step)
        self._look()

    async def come_to_rest(self) -> None:
        for node in self._nodes:
            await self._write(node, renew=True)
        await self._clean_up(NodeId("node/nobody"), Step("die", 0, "", None, answered=True, survivors=1))

    async def _write(self, node: SomeNode, *, renew: bool) -> None:
        while node.waiting:
            await node.store.apply(node.waiting[:1])
            del node.waiting[:1]
            self._look()
        if renew:
            await node.store.apply((), list(node.online.values()), anew=True)
            self._look()

    async def _clean_up(self, node_id: NodeId, step: Step) -> None:
        first, *others = [self._new_store() for _ in range(step.survivors)]
        with cut_off(first, 99 if step.trips is None else step.trips, answered=step.answered):
            cleaning = [each.clear_node(node_id) for each in (first, *others)]
            done = await asyncio.gather(*cleaning, return_exceptions=True)
        assert all(isinstance(each, int | StoreAway) for each in done)
        if isinstance(done[0], StoreAway):
            await self._new_store().clear_node(node_id)

    def _look(self) -> None:
        there = self._valkey.say("KEYS", "hub:{u1}:desktop:*")
        for desktop, before in self._present.items():
            now = f"hub:{{u1}}:desktop:{desktop}".encode() in there
            if now != before:
                self._present[desktop] = now
                self.seen[desktop].append("online" if now else "offline")

    def _new_store(self) -> RedisPresenceStore:
        return make_store(self._client, timeout_s=PATIENCE_S)


@settings(max_examples=40, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(history=st.lists(steps, max_size=15))
def test_the_stream_has_one_entry_for_each_change_in_redis(valkey: ValkeyServer, history: list[Step]) -> None:
    valkey.say("FLUSHALL")
    asyncio.run(_live(valkey, history))


async def _live(valkey: ValkeyServer, history: list[Step]) -> None:
    client = connect(valkey.url, PATIENCE_S * 1000)
    try:
        nodes = Nodes(client, valkey)
        for step in history:
            await nodes.take(step)
        await nodes.come_to_rest()
    finally:
        await client.aclose()
    for desktop, seen in nodes.seen.items():
        assert [state for each, state, _ in told(valkey) if each == desktop] == seen
    assert valkey.say("KEYS", "hub:{*}:owed") == []
