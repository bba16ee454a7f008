from hub.client.events import Welcome


def test_welcome_reads_its_fields() -> None:
    welcome = Welcome.of({"connection_id": "c", "node_id": "n", "heartbeat_ms": 5, "max_bytes": 9, "new": True})
    assert (welcome.connection_id, welcome.node_id, welcome.heartbeat_ms, welcome.max_bytes) == ("c", "n", 5, 9)


def test_what_is_missing_or_of_another_type_keeps_its_default() -> None:
    assert Welcome.of({"heartbeat_ms": "often", "max_bytes": True, "node_id": None}) == Welcome()


def test_an_interval_that_would_make_a_storm_is_not_taken() -> None:
    assert Welcome.of({"heartbeat_ms": 0}) == Welcome()
    assert Welcome.of({"heartbeat_ms": -5, "max_bytes": -1}) == Welcome()
