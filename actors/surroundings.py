"""What all actors of a node share."""

from dataclasses import dataclass, field

from actors.clock import Clock, EpochSource
from actors.ids import NodeId
from actors.limits import Pace
from actors.policy import Policy
from actors.ports import Cluster, Codec, Journal, PresenceMirror, Scheduler
from actors.tallies import Tallies
from actors.turns import Turns


@dataclass(frozen=True, slots=True)
class Surroundings:
    """What the supervisor and all connections of a node share."""

    node_id: NodeId
    clock: Clock
    epochs: EpochSource
    scheduler: Scheduler
    turns: Turns
    codec: Codec
    mirror: PresenceMirror
    journal: Journal
    cluster: Cluster
    policy: Policy
    tallies: Tallies
    pace: Pace | None = field(init=False)
    """How fast each client may send, or None for no limit."""

    def __post_init__(self) -> None:
        rate = self.policy.rate
        object.__setattr__(self, "pace", None if rate is None else Pace(rate, self.policy.burst))
