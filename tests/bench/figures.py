"""What the scenarios yield: one of these a round."""

from collections.abc import Mapping
from dataclasses import dataclass, field


@dataclass(frozen=True)
class Relay:
    """Messages from desktops to mobiles as fast as they go."""

    server: str
    window: int
    cpu_us: float
    """CPU of the server and its children for each message."""
    per_second: float
    busy: float
    """Share of its core that the server used; well below 1 means that the load generator was the slower side."""


@dataclass(frozen=True)
class Latency:
    """Microseconds from due to received, at a fixed rate."""

    server: str
    p50_us: float
    p99_us: float
    p999_us: float
    sender_p99_us: float
    """How late the load generator itself was; this is part of the figures above."""


@dataclass(frozen=True)
class Idle:
    """Connections at rest; `own` is the hub's processes, `store` its embedded Valkey."""

    server: str
    connections: int
    empty_kib: float
    own_kib_each: float
    store_kib_each: float
    kept_kib_each: float
    """What Valkey keeps for it by its own account; resident memory grows in leaps."""
    own_cpu: float
    """Seconds of CPU a second."""
    store_cpu: float


@dataclass(frozen=True)
class Handshake:
    """Microseconds of CPU for each new connection; `own` is the server's process, `store` its embedded Valkey."""

    server: str
    desktop_own_us: float
    mobile_own_us: float
    desktop_store_us: float
    mobile_store_us: float


@dataclass(frozen=True)
class Flat:
    """The same total rate over so many pairs."""

    pairs: int
    cpu_us: float
    per_second: float


@dataclass(frozen=True)
class Durable:
    """Messages of one kind between 100 desktops and their mobiles; `own` is the hub's process, `store` its Valkey."""

    kind: str
    pace: str
    """At a fixed rate, or as fast as they go with so many in flight a pair."""
    own_us: float
    """CPU for each message, with what is written after it has arrived."""
    store_us: float
    per_second: float
    """Well below the fixed rate: the hub couldn't bear it here, and the delays are those of a queue that grows."""
    unwritten: float
    """Share of the messages that the journal gave up because too many waited for Redis."""
    p50_us: float | None
    """Microseconds from due to received; None at saturation, where nothing is due."""
    p99_us: float | None


@dataclass(frozen=True)
class Resume:
    """So many phones that come back at once, each so many messages behind."""

    phones: int
    behind: int
    own_us: float
    """CPU for each replayed message, without what it costs the phones to come."""
    store_us: float
    seconds: float
    """From the first connect until the last phone has `resumed`, upgrades included."""


@dataclass(frozen=True)
class Crossing:
    """Messages of one kind between 100 desktops and their mobiles, at one worker or at two."""

    server: str
    kind: str
    placing: str
    pace: str
    desktops_us: float | None
    """CPU of the desktops' node for each message, if all desktops are at one."""
    mobiles_us: float | None
    nodes_us: float
    """CPU of all nodes together."""
    store_us: float
    per_second: float
    published: float
    """Messages on the nodes' channels for each of ours."""
    p50_us: float | None
    p99_us: float | None

    @property
    def cpu_us(self) -> float:
        """Nodes and Valkey."""
        return self.nodes_us + self.store_us


@dataclass(frozen=True)
class Storm:
    """Connections that were lost at once with their node, and came back as clients do."""

    connections: int
    lost: int
    closed: Mapping[str, int]
    """How many were closed by the hub meanwhile, by close code; they came back, too."""
    tries: int
    """How often the lost ones knocked, all together."""
    back_s: float
    """From the kill until all were back."""
    right_s: float
    """From the kill until every desktop's record named the node that had welcomed it."""
    idle_mib: float
    """Resident memory of all processes before the kill."""
    peak_mib: float
    """The most that each process ever had, added up."""
    after_mib: float


@dataclass(frozen=True)
class Asking:
    """What a call to Redis that only neighbours make costs."""

    call: str
    node_us: float
    store_us: float


@dataclass
class Figures:
    """All rounds of a run; a scenario that was not asked for has none."""

    relay: list[Relay]
    latency: list[Latency]
    idle: list[Idle]
    handshake: list[Handshake]
    flat: list[Flat]
    durable: list[Durable]
    resume: list[Resume]
    crossing: list[Crossing] = field(default_factory=list)
    storm: list[Storm] = field(default_factory=list)
    asking: list[Asking] = field(default_factory=list)
