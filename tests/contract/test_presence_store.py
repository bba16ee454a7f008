"""What every presence store promises: run against Redis' scripts on a real Valkey, a cluster of it, and their model.

The model is what the property test (tests/property/test_presence_fence.py) compares the scripts with.
"""

from collections.abc import Sequence
from typing import Protocol

import pytest

from actors.ids import DesktopId, UserId
from actors.messages import CameOnline, KnownDesktop, PresenceChange, PresenceRecord, WentOffline
from hub.presence.answers import PresenceAnswer
from tests.support.presence import NOW, make_record, make_store
from tests.support.presence_model import ModelStore

pytest_plugins = ("tests.support.valkey_fixtures",)


class Store(Protocol):
    async def apply(self, changes: Sequence[PresenceChange], renewals: Sequence[PresenceRecord]) -> None: ...

    async def known(self, user_id: UserId) -> list[KnownDesktop]: ...

    async def desktop(self, desktop_id: DesktopId) -> PresenceAnswer: ...


@pytest.fixture(params=["valkey", "cluster", "model"])
def store(request: pytest.FixtureRequest) -> Store:
    if request.param == "model":
        return ModelStore(known_limit=3)
    return make_store(
        request.getfixturevalue("client" if request.param == "valkey" else "cluster_client"), known_limit=3
    )


U1, D1 = UserId("u1"), DesktopId("d1")


async def test_a_desktop_never_seen_is_offline_without_last_seen(store: Store) -> None:
    answer = await store.desktop(D1)
    assert (answer.state, answer.last_seen, answer.user_id) == ("offline", None, None)


async def test_online(store: Store) -> None:
    record = make_record()
    await store.apply([CameOnline(record, announce=True)], ())
    answer = await store.desktop(D1)
    assert (answer.state, answer.node_id, answer.last_seen) == ("online", record.node_id, NOW)
    assert (answer.name, answer.since, answer.connection_id) == ("Desk", NOW, record.connection_id)


async def test_offline_remembers_when_and_why(store: Store) -> None:
    record = make_record()
    await store.apply([CameOnline(record, announce=True)], ())
    await store.apply([WentOffline(record, "closed", NOW + 5)], ())
    answer = await store.desktop(D1)
    assert (answer.state, answer.last_seen, answer.node_id) == ("offline", NOW, None)
    assert await store.known(U1) == [KnownDesktop(D1, NOW, "Desk", "linux", "closed")]


async def test_a_late_end_never_touches_a_newer_connection(store: Store) -> None:
    await store.apply([CameOnline(make_record(epoch=2), announce=True)], ())
    await store.apply([WentOffline(make_record(epoch=1, last_seen=NOW + 9), "lost", NOW)], ())
    answer = await store.desktop(D1)
    assert (answer.state, answer.last_seen) == ("online", NOW)


async def test_a_late_write_never_touches_a_newer_connection(store: Store) -> None:
    await store.apply([CameOnline(make_record(epoch=2, name="new"), announce=True)], ())
    await store.apply([CameOnline(make_record(epoch=1, name="old"), announce=False)], ())
    assert (await store.desktop(D1)).name == "new"


async def test_an_ended_connection_is_not_brought_back_by_a_late_write(store: Store) -> None:
    record = make_record(epoch=2)
    await store.apply([CameOnline(record, announce=True)], ())
    await store.apply([WentOffline(record, "closed", NOW)], ())
    await store.apply([CameOnline(record, announce=False), CameOnline(make_record("d2", epoch=1), announce=True)], ())
    assert (await store.desktop(D1)).state == "offline"
    assert (await store.desktop(DesktopId("d2"))).state == "online"


async def test_the_end_of_a_connection_takes_an_older_ones_record_along(store: Store) -> None:
    await store.apply([CameOnline(make_record(epoch=1), announce=True)], ())
    await store.apply([WentOffline(make_record(epoch=2), "closed", NOW)], ())
    assert (await store.desktop(D1)).state == "offline"


async def test_an_outdated_end_leaves_no_trace(store: Store) -> None:
    await store.apply([WentOffline(make_record(epoch=2), "closed", NOW)], ())
    await store.apply([WentOffline(make_record(epoch=1), "lost", NOW)], ())
    assert [each.reason for each in await store.known(U1)] == ["closed"]


async def test_a_new_owner(store: Store) -> None:
    old, new = make_record(user="u1", epoch=1), make_record(user="u2", epoch=2)
    await store.apply([CameOnline(old, announce=True)], ())
    await store.apply([WentOffline(old, "superseded", NOW, forget=True), CameOnline(new, announce=True)], ())
    assert (await store.desktop(D1)).user_id == "u2"
    assert await store.known(U1) == []


async def test_a_stale_owner_does_not_come_back(store: Store) -> None:
    await store.apply([CameOnline(make_record(user="u2", epoch=2), announce=True)], ())
    await store.apply([CameOnline(make_record(user="u1", epoch=1), announce=True)], ())
    assert (await store.desktop(D1)).user_id == "u2"


async def test_a_record_without_an_owner_gets_one_when_it_is_renewed(store: Store) -> None:
    await store.apply([CameOnline(make_record(), announce=False)], ())
    assert (await store.desktop(D1)).state == "online"


async def test_last_seen_of_an_absent_desktop_only_grows(store: Store) -> None:
    await store.apply([WentOffline(make_record(epoch=1, last_seen=NOW), "closed", NOW)], ())
    await store.apply([WentOffline(make_record(epoch=2, last_seen=NOW - 5), "lost", NOW)], ())
    assert [(each.last_seen, each.reason) for each in await store.known(U1)] == [(NOW, "lost")]


async def test_only_those_seen_last_are_remembered(store: Store) -> None:
    for number in range(5):
        record = make_record(f"d{number}", epoch=1, last_seen=NOW + number)
        await store.apply([CameOnline(record, announce=True), WentOffline(record, "closed", NOW)], ())
    assert [each.desktop_id for each in await store.known(U1)] == ["d4", "d3", "d2"]


async def test_a_desktop_whose_record_ran_out_was_lost_with_its_node(store: Store) -> None:
    await store.apply([CameOnline(make_record(name=None, platform=None), announce=True)], ())
    assert await store.known(U1) == [KnownDesktop(D1, NOW, None, None, "node_lost")]
