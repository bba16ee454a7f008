"""Tables and verdicts."""

from dataclasses import replace

import pytest

from tests.bench.figures import (
    Asking,
    Crossing,
    Durable,
    Figures,
    Flat,
    Handshake,
    Idle,
    Latency,
    Relay,
    Resume,
    Storm,
)
from tests.bench.report import render
from tests.bench.tables import table
from tests.bench.verdicts import Verdict, judge


def figures(hub_us: float = 8.0, p99: float = 100.0, kib: float = 10.0, flat_us: float = 9.0) -> Figures:
    costs = {"hub": hub_us, "gorilla": 10.0, "sanic_plain": 50.0}
    return Figures(
        relay=[Relay(name, 1, cost, 1e6 / cost, 1.0) for name, cost in costs.items()],
        latency=[Latency("hub", 50.0, p99, 300.0, 9.0), Latency("gorilla", 60.0, 200.0, 400.0, 9.0)],
        idle=[Idle("hub", 9_000, 60_000.0, kib, 1.0, 0.8, 0.1, 0.05)],
        handshake=[Handshake("hub", 100.0, 120.0, 10.0, 20.0), Handshake("gorilla", 60.0, 60.0, 0.0, 0.0)],
        flat=[Flat(10, 8.0, 1e4), Flat(1_000, flat_us, 1e4)],
        durable=[],
        resume=[],
    )


def durable_figures() -> Figures:
    rate = [
        Durable("user:message", "2,000/s", 100.0, 80.0, 2e3, 0.0, 300.0, 900.0),
        Durable("agent:response", "2,000/s", 40.0, 20.0, 2e3, 0.25, 100.0, 200.0),
        Durable("agent:stream", "2,000/s", 25.0, 0.0, 2e3, 0.0, 90.0, 190.0),
    ]
    saturated = [replace(figure, pace="8 in flight a pair", p50_us=None, p99_us=None) for figure in rate]
    return Figures([], [], [], [], [], rate + saturated, [Resume(100, 1_000, 2.5, 0.1, 0.75)])


def crossing(placing: str, pace: str, cpu_us: float, p99_us: float | None) -> Crossing:
    delay = None if p99_us is None else p99_us / 10
    apart: tuple[float | None, float | None] = (
        (cpu_us / 2, cpu_us / 4) if placing == "two nodes, one way" else (None, None)
    )
    return Crossing("hub", "agent:stream", placing, pace, *apart, cpu_us * 0.9, cpu_us * 0.1, 1e3, 0.5, delay, p99_us)


def nodes_figures(across_us: float = 24.0, across_p99: float = 3_900.0, peak_mib: float = 299.0) -> Figures:
    saturated = "8 in flight a pair"
    rounds = [
        crossing("one node", saturated, 10.0, None),
        crossing("two nodes", saturated, across_us, None),
        crossing("two nodes, one way", saturated, across_us, None),
        crossing("one node", "2,000/s", 90.0, 1_000.0),
        crossing("two nodes", "2,000/s", 250.0, across_p99),
    ]
    storms = [Storm(9_000, 4_500, {"4202": 3}, 4_600, 9.0, 9.5, 100.0, peak_mib, 120.0)]
    asked = [Asking("ENTER", 25.0, 22.0)]
    return Figures([], [], [], [], [], [], [], crossing=rounds, storm=storms, asking=asked)


def missed(verdicts: list[Verdict]) -> list[str]:
    return [verdict.subject for verdict in verdicts if not verdict.is_met]


def test_a_table_is_aligned() -> None:
    assert table(("a", "figure"), [("long one", "1"), ("b", "22")]).splitlines() == [
        "| a        | figure |",
        "| :------- | -----: |",
        "| long one |      1 |",
        "| b        |     22 |",
    ]


def test_good_figures_meet_every_target() -> None:
    verdicts = judge(figures())
    assert len(verdicts) == 8
    assert missed(verdicts) == []


@pytest.mark.parametrize(
    ("bad", "subjects"),
    [
        ({"hub_us": 9.0}, ["relay with 1 in flight a pair, CPU of gorilla's"]),
        ({"p99": 201.0}, ["p99 latency against gorilla's"]),
        ({"kib": 19.5}, ["an idle connection, Valkey included"]),
        ({"flat_us": 12.1}, ["dearest number of pairs against the cheapest"]),
    ],
)
def test_a_bad_figure_misses_its_own_target_only(bad: dict[str, float], subjects: list[str]) -> None:
    assert missed(judge(figures(**bad))) == subjects


def test_rounds_are_judged_by_their_median() -> None:
    several = figures()
    several.relay += [Relay("hub", 1, 8.1, 1e5, 1.0), Relay("hub", 1, 90.0, 1e5, 1.0)]
    assert missed(judge(several)) == []


def test_without_peers_there_is_nothing_to_compare_with() -> None:
    alone = figures()
    alone.relay = alone.relay[:1]
    alone.latency = alone.latency[:1]
    assert not [verdict for verdict in judge(alone) if "gorilla" in verdict.subject or "sanic" in verdict.subject]


def test_the_report_has_a_table_for_every_scenario_that_ran() -> None:
    text = render([("cores", "2")], figures())
    assert text.count("| :--") == 6
    assert "| hub " in text
    only_flat = Figures([], [], [], [], figures().flat, [], [])
    assert render([("cores", "2")], only_flat).count("| :--") == 2


def test_a_verdict_reads_as_a_line() -> None:
    assert str(Verdict("handshake", 150.0, 200.0, "µs")) == "met: handshake: 150 µs, at most 200"
    assert str(Verdict("handshake", 250.0, 200.0, "µs")) == "MISSED: handshake: 250 µs, at most 200"
    assert str(Verdict("a replayed message", 2.5, None, "µs")) == "stated: a replayed message: 2.5 µs"


def test_what_durable_messages_cost_is_stated_without_a_target() -> None:
    verdicts = judge(durable_figures())
    assert missed(verdicts) == []
    assert [str(verdict) for verdict in verdicts[:3]] == [
        "stated: a message to a desktop at 2,000/s, Valkey included: 180 µs",
        "stated: the journal's part of an answer at 2,000/s, Valkey included: 35 µs",
        "stated: answers that the journal gave up at 2,000/s: 25 %",
    ]
    assert str(verdicts[-1]) == "stated: a replayed message: 2.5 µs"


def test_several_nodes_have_targets() -> None:
    verdicts = judge(nodes_figures())
    assert [str(verdict) for verdict in verdicts] == [
        "met: hub: relay between nodes, 8 in flight a pair, CPU of a local one's: 2.4 x, at most 2.5",
        "met: hub: p99 between nodes at 2,000/s, above a local one's: 2.9 ms, at most 3",
        "met: 4,500 of 9,000 connections lost, most memory of idle: 2.99 x, at most 3",
        "stated: 4,500 of 9,000 connections lost, all back and presence right: 9.5 s",
    ]


@pytest.mark.parametrize("bad", [{"across_us": 26.0}, {"across_p99": 4_100.0}, {"peak_mib": 301.0}])
def test_each_target_of_several_nodes_is_missed_by_itself(bad: dict[str, float]) -> None:
    assert len(missed(judge(nodes_figures(**bad)))) == 1


def test_several_nodes_have_tables() -> None:
    lines = render([("cores", "2")], nodes_figures()).splitlines()
    assert sum(line.startswith("| :--") for line in lines) == 5
    [one_way] = [line for line in lines if "one way" in line]
    assert [cell.strip() for cell in one_way.split("|")[2:4]] == ["12.0", "6.0"]
    [stormed] = [line for line in lines if line.startswith("| 4,500 of 9,000")]
    assert "3 with 4202" in stormed


def test_idle_workers_are_not_judged_as_one_process() -> None:
    several = figures()
    several.idle.append(Idle("hub, 2 workers", 9_000, 120_000.0, 25.0, 1.0, 0.8, 0.1, 0.05))
    assert missed(judge(several)) == []


def test_at_saturation_nothing_was_due_so_nothing_was_late() -> None:
    lines = render([("cores", "2")], durable_figures()).splitlines()
    [rate] = [line for line in lines if "agent:stream, 2,000/s" in line]
    [saturated] = [line for line in lines if "agent:stream, 8 in flight" in line]
    cells = [[cell.strip() for cell in line.split("|")[1:-1]] for line in (rate, saturated)]
    assert [row[-2:] for row in cells] == [["90", "190"], ["", ""]]
