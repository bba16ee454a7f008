"""`hub doctor` at a real cluster."""

from collections.abc import Iterator

import pytest

from hub.config import load_settings
from hub.doctor.finding import Finding, Severity
from hub.doctor.redis import examine_redis
from tests.support.valkey_cluster import ValkeyCluster

pytest_plugins = ("tests.support.valkey_fixtures",)

SECRET = "kR8vQ2mZ7xW4nB9tL3pY6cJ1hG5fD0sA8eU2iO7rT4w"


async def ask(url: str) -> list[Finding]:
    settings = load_settings({"HUB_JWT_SECRET": SECRET, "HUB_REDIS_TIMEOUT_MS": "5000", "HUB_REDIS_URL": url})
    return await examine_redis(settings, url)


@pytest.fixture
def account(cluster: ValkeyCluster) -> Iterator[str]:
    """The cluster, logged in as somebody who may do what docs/operations.md lists."""
    rules = "~hub:*", "&hub:*", "+@all", "-@admin", "-@dangerous", "+info", "+cluster|slots", "+cluster|nodes"
    cluster.everywhere("ACL", "SETUSER", "hub", "reset", "on", ">pw", *rules, "+cluster|info")
    yield cluster.url.replace("://", "://hub:pw@")
    cluster.everywhere("ACL", "DELUSER", "hub")


async def test_every_primary_is_asked(account: str, cluster: ValkeyCluster) -> None:
    found = await ask(account)
    for about in ("role", "permissions", "eviction", "persistence"):
        assert len([each for each in found if each.about.startswith(about)]) == len(cluster.masters)
    assert {each.severity for each in found if each.about.startswith("permissions")} == {Severity.OK}
    texts = [each.found for each in found if each.about == "cluster"]
    assert texts[0] == "state ok, 3 primaries, all slots served"
    assert len([text for text in texts if "has no replica" in text]) == 3


async def test_what_only_a_cluster_needs_is_tried(account: str, cluster: ValkeyCluster) -> None:
    cluster.everywhere("ACL", "SETUSER", "hub", "-asking", "-cluster|slots", "resetchannels")
    refused = [each.found for each in await ask(account) if each.about.startswith("permissions")]
    assert refused == ["refused to this account: SPUBLISH, SSUBSCRIBE, CLUSTER, ASKING"] * 3


async def test_a_url_that_names_no_cluster_is_wrong(cluster: ValkeyCluster) -> None:
    found = await ask(f"redis://127.0.0.1:{cluster.masters[0].port}")
    [wrong] = [each for each in found if each.about == "cluster" and each.severity is Severity.ERROR]
    assert wrong.advice == "use redis+cluster://"
