"""Writes and ends of one desktop's connections, in any order: the scripts on a real Valkey do what the model does."""

import asyncio

from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from actors.ids import DesktopId, UserId
from actors.messages import CameOnline, PresenceChange, WentOffline
from hub.store.client import connect
from tests.support.presence import NOW, make_record, make_store
from tests.support.presence_model import ModelStore
from tests.support.valkey import ValkeyServer

pytest_plugins = ("tests.support.valkey_fixtures",)

DESKTOPS = ("d1", "d2", "d3")
USERS = ("u1", "u2")
LIMIT = 2
PATIENCE_S = 20  # a machine that stalls is no counter-example

records = st.builds(
    lambda desktop, user, epoch, seen: make_record(desktop, user, epoch, last_seen=NOW + seen),
    st.sampled_from(DESKTOPS),
    st.sampled_from(USERS),
    st.integers(1, 4),
    st.integers(1, 50),
)
changes = st.one_of(
    st.builds(CameOnline, records, announce=st.booleans()),
    st.builds(WentOffline, records, st.sampled_from(["closed", "lost"]), st.just(NOW), forget=st.booleans()),
)


@settings(max_examples=150, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(history=st.lists(changes, max_size=25))
def test_the_scripts_do_what_the_model_does(valkey: ValkeyServer, history: list[PresenceChange]) -> None:
    valkey.say("FLUSHALL")
    asyncio.run(_compare(valkey, history))


async def _compare(valkey: ValkeyServer, history: list[PresenceChange]) -> None:
    client = connect(valkey.url, PATIENCE_S * 1000)
    try:
        store, model = make_store(client, known_limit=LIMIT, timeout_s=PATIENCE_S), ModelStore(known_limit=LIMIT)
        for change in history:
            await store.apply([change], ())
            await model.apply([change], ())
        for desktop in map(DesktopId, DESKTOPS):
            answer, expected = await store.desktop(desktop), await model.desktop(desktop)
            assert (answer.state, answer.connection_id) == (expected.state, expected.connection_id)
        for user in map(UserId, USERS):
            assert await store.known(user) == await model.known(user)
    finally:
        await client.aclose()
