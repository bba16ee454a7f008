"""The node's figures as Prometheus metrics, read when they are asked for (docs/operations.md, "What to watch")."""

from collections.abc import Callable, Iterable, Iterator
from itertools import accumulate

from prometheus_client import Metric
from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily, HistogramMetricFamily
from prometheus_client.registry import Collector

from actors.closing import CloseReason
from actors.tallies import LATENCY_BOUNDS_S
from hub.node import Node

_CODES = {reason.label: str(reason.code) for reason in CloseReason}

_OF_NODES = {
    "entered": ("shares", "Users' shares written for other nodes to see, renewals included."),
    "struck": ("shares_struck", "Shares of dead nodes taken away."),
    "published": ("batches_published", "Batches sent to other nodes, pulses included."),
    "published_words": ("words_published", "Words in these batches."),
    "published_bytes": ("published_bytes", "Bytes of these batches."),
    "unheard": ("batches_unheard", "Batches that nobody listened to."),
    "dropped_words": ("words_dropped", "Words to other nodes given up: too many, or Redis away."),
    "heard": ("batches_heard", "Batches that came from other nodes, pulses included."),
    "heard_words": ("words_heard", "Words in these batches."),
    "unknown_words": ("words_unknown", "Words that only a newer release knows."),
    "missed": ("missed", "How often something of another node was lost on the way."),
    "malformed": ("malformed", "Batches and shares that could not be read."),
    "cuts": ("cuts", "How often listening to other nodes was cut."),
    "outages": ("outages", "How often a lease could not be renewed, as Redis was away."),
    "taken_for_dead": ("taken_for_dead", "How often this node's lease was found missing."),
    "cleaned": ("nodes_cleaned_up", "Dead nodes that this one has cleaned up after."),
}
"""The counts of `hub.cluster.neighbourhood`: the name behind `hub_cluster_`, and the text. All 0 in a hub alone."""


class NodeCollector(Collector):
    """Reads the plain integers that the actors count in."""

    def __init__(self, node: Node, turned_away: Callable[[], int]) -> None:
        self._node = node
        self._turned_away = turned_away

    def collect(self) -> Iterator[Metric]:
        """Yield every metric, as of now."""
        yield self._connections()
        yield from self._messages()
        yield from self._ends()
        yield from self._inboxes()
        yield self._handover()
        yield from self._presence()
        yield from self._mail()
        yield from self._journal()
        yield from self._revocations()
        yield from self._cluster()

    def _connections(self) -> Metric:
        family = GaugeMetricFamily("hub_connections", "Open connections by kind.", labels=["kind"])
        for kind in ("desktop", "mobile"):
            family.add_metric([kind], len(self._node.supervisor.open_routes(kind)))
        return family

    def _messages(self) -> Iterable[Metric]:
        tallies = self._node.tallies
        family = CounterMetricFamily(
            "hub_messages", "Clients' messages by type and by what became of them.", labels=["type", "outcome"]
        )
        for kind, count in tallies.relayed.items():
            family.add_metric([kind, "relayed"], count)
        for kind, count in tallies.unheard.items():
            family.add_metric([kind, "no_receiver"], count)
        for (kind, outcome), count in tallies.outcomes.items():
            family.add_metric([kind, outcome], count)
        yield family

    def _ends(self) -> Iterable[Metric]:
        closes = CounterMetricFamily(
            "hub_closes", "Ended connections by kind, close code and reason.", labels=["kind", "code", "reason"]
        )
        for (kind, reason), count in self._node.tallies.closes.items():
            closes.add_metric([kind, _CODES[reason], reason], count)
        yield closes
        refusals = CounterMetricFamily("hub_refused_handshakes", "Handshakes refused.", labels=["kind", "reason"])
        for labels, count in self._node.refusals.items():
            refusals.add_metric(list(labels), count)
        yield refusals
        yield CounterMetricFamily("hub_turned_away", "Clients not even answered: no sockets left.", self._turned_away())

    def _inboxes(self) -> Iterable[Metric]:
        depths = [route.waiting for route in self._node.supervisor.open_routes()]
        yield GaugeMetricFamily("hub_inbox_frames", "Frames that wait in all inboxes.", sum(f for f, _ in depths))
        yield GaugeMetricFamily("hub_inbox_bytes", "Bytes that wait in all inboxes.", sum(b for _, b in depths))
        deepest = max((b for _, b in depths), default=0)
        yield GaugeMetricFamily("hub_inbox_deepest_bytes", "Bytes that wait in the fullest inbox.", deepest)

    def _handover(self) -> Metric:
        histogram = self._node.tallies.handover
        bounds = [*map(str, LATENCY_BOUNDS_S), "+Inf"]
        buckets = list(zip(bounds, map(float, accumulate(histogram.buckets)), strict=True))
        return HistogramMetricFamily(
            "hub_relay_seconds",
            "From a message's arrival to the hand-over of its batch to the receiver's socket.",
            buckets=buckets,
            sum_value=histogram.total_s,
        )

    def _presence(self) -> Iterable[Metric]:
        mirror = self._node.mirror
        yield GaugeMetricFamily("hub_redis_available", "Whether Redis took the last write.", float(mirror.available))
        yield GaugeMetricFamily("hub_presence_lag_seconds", "Age of the oldest unwritten change.", mirror.lag_s)
        yield CounterMetricFamily("hub_presence_written", "Presence changes written.", mirror.written_changes)
        yield CounterMetricFamily("hub_presence_outages", "How often Redis went away.", mirror.outages)
        lost = mirror.dropped_changes + mirror.dropped_entries
        yield CounterMetricFamily("hub_presence_dropped", "Changes given up in outages.", lost)

    def _mail(self) -> Iterable[Metric]:
        mailroom, tallies = self._node.mailroom, self._node.tallies
        mail = mailroom.ledger
        receipts = CounterMetricFamily("hub_receipts", "Receipts told or kept for later.", labels=["status"])
        for status, count in tallies.receipts.items():
            receipts.add_metric([status], count)
        yield receipts
        yield CounterMetricFamily("hub_mail_stored", "Messages put into mailboxes.", mail.stored)
        yield CounterMetricFamily("hub_mail_outages", "How often the mailroom found Redis away.", mail.outages)
        yield CounterMetricFamily("hub_mail_dropped", "Records of deliveries given up in outages.", mail.dropped)
        yield GaugeMetricFamily("hub_mail_lag_seconds", "Age of the oldest request to the mailroom.", mailroom.lag_s)

    def _journal(self) -> Iterable[Metric]:
        journal, tallies = self._node.journal, self._node.tallies
        replays = CounterMetricFamily("hub_replays", "Replays that ended.", labels=["complete"])
        for complete, count in tallies.replays.items():
            replays.add_metric([str(complete).lower()], count)
        yield replays
        yield CounterMetricFamily("hub_gaps_told", "Notices to slow readers that something was left out.", tallies.gaps)
        yield CounterMetricFamily("hub_journal_written", "Entries written to journals.", journal.written)
        yield CounterMetricFamily("hub_journal_stale", "Writes that met a newer epoch.", journal.stale)
        yield CounterMetricFamily("hub_journal_dropped", "Journal entries given up in outages.", journal.dropped)
        yield GaugeMetricFamily("hub_journal_lag_seconds", "Age of the oldest unwritten entry.", journal.lag_s)

    def _revocations(self) -> Iterable[Metric]:
        kept = self._node.revocations
        yield GaugeMetricFamily("hub_revocations", "Revocations in force.", kept.in_force)
        known = float(kept.up_to_date)
        yield GaugeMetricFamily("hub_revocations_known", "Whether all revocations in Redis are known here.", known)
        yield GaugeMetricFamily("hub_revocations_unwritten", "Revocations not found in Redis yet.", kept.unwritten)
        yield CounterMetricFamily("hub_revocations_dropped", "Revocations forgotten too soon.", kept.dropped)

    def _cluster(self) -> Iterable[Metric]:
        neighbourhood = self._node.neighbourhood
        others, counts = (0, {}) if neighbourhood is None else (neighbourhood.nodes_known, neighbourhood.counts())
        yield GaugeMetricFamily("hub_nodes", "Nodes that live on this Redis, this one included.", 1 + others)
        received = self._node.tallies.from_nodes
        yield CounterMetricFamily("hub_relayed_from_nodes", "Messages of other nodes' desktops, by phone.", received)
        for key, (name, text) in _OF_NODES.items():
            yield CounterMetricFamily(f"hub_cluster_{name}", text, counts.get(key, 0))
