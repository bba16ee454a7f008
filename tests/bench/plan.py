"""How long and how often the scenarios measure."""

from dataclasses import dataclass


@dataclass(frozen=True)
class Plan:
    """Rounds, seconds and numbers of connections of a run."""

    rounds: int
    relay_s: float
    latency_s: float
    idle_pairs: int
    idle_s: float
    handshakes: int
    flat_rounds: int
    flat_pairs: tuple[int, ...]
    flat_s: float
    durable_s: float
    resume_times: int
    """How often the phones come back in a round."""
    crossing_rounds: int
    crossing_s: float
    storm_pairs: tuple[int, ...]
    asked: int
    """How often each call to Redis is made."""


FULL = Plan(3, 2.5, 4.0, 4_500, 25.0, 3_000, 2, (10, 100, 1_000, 4_500), 3.0, 3.0, 5, 3, 1.5, (4_500, 9_000), 20_000)
QUICK = Plan(1, 1.5, 3.0, 1_000, 5.0, 1_000, 1, (10, 100, 1_000), 1.5, 1.5, 2, 1, 1.0, (500,), 2_000)
