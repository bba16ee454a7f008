"""Metrics are read when they are asked for, and say what the actors counted."""

from collections import Counter
from dataclasses import dataclass, field
from typing import cast

import pytest
from prometheus_client import CollectorRegistry, generate_latest
from prometheus_client.parser import text_string_to_metric_families

from actors.supervisor import Supervisor
from actors.tallies import LATENCY_BOUNDS_S, Tallies
from hub.metrics import _OF_NODES, NodeCollector
from hub.node import Node
from hub.store.client import connect
from tests.support.cluster import Member, make_neighbourhood
from tests.support.peers import World


@dataclass
class Mirror:
    available: bool = True
    lag_s: float = 0.25
    written_changes: int = 11
    outages: int = 2
    dropped_changes: int = 3
    dropped_entries: int = 4


@dataclass
class Ledger:
    stored: int = 21
    outages: int = 22
    dropped: int = 23


@dataclass
class Mail:
    ledger: Ledger = field(default_factory=Ledger)
    lag_s: float = 0.5


@dataclass
class Pages:
    written: int = 31
    stale: int = 32
    dropped: int = 33
    lag_s: float = 0.75


@dataclass
class Kept:
    in_force: int = 41
    up_to_date: bool = True
    unwritten: int = 42
    dropped: int = 43


@dataclass
class Others:
    nodes_known: int = 2

    def counts(self) -> dict[str, int]:
        return {key: 50 + number for number, key in enumerate(_OF_NODES)}


@dataclass
class FewNode:
    """What the metrics read of a node."""

    supervisor: Supervisor
    tallies: Tallies
    refusals: Counter[tuple[str, str]] = field(default_factory=Counter)
    mirror: Mirror = field(default_factory=Mirror)
    mailroom: Mail = field(default_factory=Mail)
    journal: Pages = field(default_factory=Pages)
    revocations: Kept = field(default_factory=Kept)
    neighbourhood: Others | None = None


Sample = tuple[str, tuple[tuple[str, str], ...]]


class Scraped:
    """A world, and what a scrape of its node says."""

    def __init__(self) -> None:
        self.world = World()
        self.node = FewNode(self.world.supervisor, self.world.tallies)
        self._registry = CollectorRegistry(auto_describe=False)
        self._registry.register(NodeCollector(cast("Node", self.node), lambda: 9))

    def text(self) -> str:
        return generate_latest(self._registry).decode()

    def samples(self) -> dict[Sample, float]:
        families = text_string_to_metric_families(self.text())
        return {(s.name, tuple(sorted(s.labels.items()))): s.value for family in families for s in family.samples}

    def get(self, name: str, **labels: str) -> float:
        return self.samples()[name, tuple(sorted(labels.items()))]


@pytest.fixture
def scraped() -> Scraped:
    return Scraped()


def test_connections_are_told_by_kind_also_when_there_are_none(scraped: Scraped) -> None:
    assert scraped.get("hub_connections", kind="mobile") == 0
    scraped.world.phone()
    phone, _ = scraped.world.phone(), scraped.world.desktop()
    phone.hang_up()
    assert scraped.get("hub_connections", kind="mobile") == 1
    assert scraped.get("hub_connections", kind="desktop") == 1


def test_messages_are_told_by_type_and_outcome(scraped: Scraped) -> None:
    desktop = scraped.world.desktop()
    desktop.say("agent:stream")
    scraped.world.phone()
    desktop.say("agent:stream")
    desktop.say("nonsense")
    assert scraped.get("hub_messages_total", type="agent:stream", outcome="no_receiver") == 1
    assert scraped.get("hub_messages_total", type="agent:stream", outcome="relayed") == 1
    assert scraped.get("hub_messages_total", type="-", outcome="unknown_type") == 1


def test_no_type_that_a_client_makes_up_becomes_a_label(scraped: Scraped) -> None:
    phone = scraped.world.phone()
    for n in range(50):
        phone.say(f"made-up-{n}")
    assert "made-up" not in scraped.text()


def test_ends_and_refusals_are_told_by_kind_and_reason(scraped: Scraped) -> None:
    scraped.world.phone().hang_up()
    scraped.node.refusals["desktop", "token_invalid"] += 3
    assert scraped.get("hub_closes_total", kind="mobile", code="1000", reason="closed") == 1
    assert scraped.get("hub_refused_handshakes_total", kind="desktop", reason="token_invalid") == 3
    assert scraped.get("hub_turned_away_total") == 9


def test_what_waits_in_the_inboxes_is_told_in_all_and_for_the_fullest(scraped: Scraped) -> None:
    world = scraped.world
    desktop, phones = world.desktop(), [world.phone(), world.phone()]
    phones[0].socket.writable = False
    desktop.say("agent:stream", {"text": "x" * 100})
    phones[1].socket.writable = False
    desktop.say("agent:stream")
    (frames, most), (_, least) = (phone.connection.waiting for phone in phones)
    assert frames == 2
    assert scraped.get("hub_inbox_frames") == 3
    assert scraped.get("hub_inbox_bytes") == most + least
    assert scraped.get("hub_inbox_deepest_bytes") == most


def test_nothing_waits_where_nobody_is(scraped: Scraped) -> None:
    assert scraped.get("hub_inbox_deepest_bytes") == 0


def test_the_latency_histogram_is_cumulative_and_ends_with_all(scraped: Scraped) -> None:
    histogram = scraped.world.tallies.handover
    for seconds, times in ((0.0001, 2), (0.003, 5), (60.0, 1)):
        histogram.observe(seconds, times)
    counts = [scraped.get("hub_relay_seconds_bucket", le=str(bound)) for bound in LATENCY_BOUNDS_S]
    assert counts == sorted(counts)
    assert counts[0] == 2
    assert scraped.get("hub_relay_seconds_bucket", le="0.005") == 7
    assert scraped.get("hub_relay_seconds_bucket", le="10.0") == 7
    assert scraped.get("hub_relay_seconds_bucket", le="+Inf") == 8
    assert scraped.get("hub_relay_seconds_count") == 8
    assert scraped.get("hub_relay_seconds_sum") == pytest.approx(60 + 0.015 + 0.0002)


def test_the_state_of_the_mirror_is_told(scraped: Scraped) -> None:
    assert scraped.get("hub_redis_available") == 1
    assert scraped.get("hub_presence_lag_seconds") == 0.25
    assert scraped.get("hub_presence_written_total") == 11
    assert scraped.get("hub_presence_outages_total") == 2
    assert scraped.get("hub_presence_dropped_total") == 7
    scraped.node.mirror.available = False
    assert scraped.get("hub_redis_available") == 0


def test_a_scrape_is_of_now(scraped: Scraped) -> None:
    before = scraped.samples()
    assert scraped.samples() == before
    scraped.world.phone()
    assert scraped.samples() != before


def test_receipts_and_the_state_of_the_mailroom_are_told(scraped: Scraped) -> None:
    scraped.world.desktop()
    scraped.world.phone().say("user:message", {"desktop_id": "d1"}, message_id="m")
    assert scraped.get("hub_receipts_total", status="stored") == 1
    assert scraped.get("hub_receipts_total", status="delivered") == 1
    assert scraped.get("hub_mail_stored_total") == 21
    assert scraped.get("hub_mail_outages_total") == 22
    assert scraped.get("hub_mail_dropped_total") == 23
    assert scraped.get("hub_mail_lag_seconds") == 0.5


def test_replays_gaps_and_the_state_of_the_journal_are_told(scraped: Scraped) -> None:
    scraped.world.desktop()
    scraped.world.phone(resume={"d1": "0-0"})
    scraped.world.phone(resume={"d1": "1-5"})
    scraped.world.tallies.gaps += 4
    assert scraped.get("hub_replays_total", complete="true") == 1
    assert scraped.get("hub_replays_total", complete="false") == 1
    assert scraped.get("hub_gaps_told_total") == 4
    assert scraped.get("hub_journal_written_total") == 31
    assert scraped.get("hub_journal_stale_total") == 32
    assert scraped.get("hub_journal_dropped_total") == 33
    assert scraped.get("hub_journal_lag_seconds") == 0.75


def test_revocations_are_told(scraped: Scraped) -> None:
    assert scraped.get("hub_revocations") == 41
    assert scraped.get("hub_revocations_known") == 1
    assert scraped.get("hub_revocations_unwritten") == 42
    assert scraped.get("hub_revocations_dropped_total") == 43
    scraped.node.revocations.up_to_date = False
    assert scraped.get("hub_revocations_known") == 0


def test_a_hub_alone_tells_of_one_node_and_of_nothing_between_nodes(scraped: Scraped) -> None:
    assert scraped.get("hub_nodes") == 1
    assert {value for (name, _), value in scraped.samples().items() if name.startswith("hub_cluster_")} == {0}


def test_what_happens_between_nodes_is_told(scraped: Scraped) -> None:
    scraped.node.neighbourhood = Others()
    scraped.world.tallies.from_nodes = 7
    assert scraped.get("hub_nodes") == 3
    assert scraped.get("hub_relayed_from_nodes_total") == 7
    told = {name: value for (name, _), value in scraped.samples().items() if name.startswith("hub_cluster_")}
    assert told["hub_cluster_shares_total"] == 50
    assert sorted(told.values()) == [50 + number for number in range(len(_OF_NODES))]


async def test_every_count_of_the_neighbourhood_is_told() -> None:
    client = connect("redis://127.0.0.1:1", 100)
    assert make_neighbourhood(client, Member("a/1")).counts().keys() == _OF_NODES.keys()
    await client.aclose()
