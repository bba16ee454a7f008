from hub.doctor.redis_server import read_facts


def test_facts_are_read_with_what_their_values_hold() -> None:
    text = "# Server\r\nredis_version:7.2.4\r\n\r\nlistener0:name=tcp,bind=::1\r\nempty:\r\n"
    assert read_facts(text) == {"redis_version": "7.2.4", "listener0": "name=tcp,bind=::1", "empty": ""}
