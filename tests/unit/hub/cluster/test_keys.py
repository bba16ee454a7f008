"""Names in Redis: docs/adr/0011."""

from redis.crc import key_slot

from actors.ids import NodeId, UserId
from hub.cluster import keys


def test_names() -> None:
    assert keys.here(UserId("u1")) == "hub:{u1}:here"
    assert keys.channel(NodeId("host:8080/00ff")) == "hub:node:host:8080/00ff"
    assert len({key_slot(key.encode()) for key in keys.OF_NODES}) == 1
