"""Alerts and panels name metrics, labels and reasons that the hub exports, in PromQL that reads."""

import json
import re
from collections.abc import Iterator
from functools import cache
from typing import Any
from unittest.mock import MagicMock

import promql_parser
import pytest

from actors.closing import CloseReason
from actors.messages import ErrorCode
from actors.tallies import Tallies
from hub.metrics import NodeCollector
from tests.support.deploy_files import base, document, text

PROCESS = {
    "process_cpu_seconds_total",
    "process_max_fds",
    "process_open_fds",
    "process_resident_memory_bytes",
}
"""Of prometheus_client's ProcessCollector, which the hub registers; on Linux only."""

OF_WORKERS = {"hub_workers_silent"}
"""Of all workers together, where there are several (hub/workers/figures.py)."""

OF_PROMETHEUS = {"job", "instance"}
"""Labels that Prometheus puts on what it reads."""

REASONS = {
    "hub_closes_total": {reason.label for reason in CloseReason},
    "hub_refused_handshakes_total": {"full", "origin", "no_token", *ErrorCode},
}


@cache
def exported() -> dict[str, set[str]]:
    """Every sample that the hub exports, and its labels."""
    tallies = Tallies()
    tallies.relayed["agent:stream"] = 1
    tallies.closes["mobile", CloseReason.SUPERSEDED.label] = 1
    tallies.receipts["stored"] = 1
    tallies.replays[True] = 1
    node = MagicMock(tallies=tallies, refusals={("mobile", "full"): 1}, neighbourhood=None)
    node.mirror = MagicMock(dropped_changes=0, dropped_entries=0)
    samples = [sample for metric in NodeCollector(node, lambda: 0).collect() for sample in metric.samples]
    return {sample.name: set(sample.labels) for sample in samples} | {
        name: set() for name in [*PROCESS, *OF_WORKERS, "up"]
    }


def rules() -> list[dict[str, Any]]:
    return [rule for group in document("prometheus/alerts.yaml")["groups"] for rule in group["rules"]]


def panels() -> list[dict[str, Any]]:
    return [panel for panel in json.loads(text("grafana/tether-hub.json"))["panels"] if panel["type"] != "row"]


def expressions() -> dict[str, str]:
    """Everything that is asked of Prometheus, by who asks it."""
    asked = {rule["alert"]: rule["expr"] for rule in rules()}
    for panel in panels():
        for target in panel["targets"]:
            asked[f"{panel['title']}, {target['refId']}"] = target["expr"].replace("$__rate_interval", "5m")
    return asked


EXPRESSIONS = expressions()


def selectors(expression: str) -> list[promql_parser.VectorSelector]:
    found: list[promql_parser.VectorSelector] = []

    def visit(node: promql_parser.Expr) -> bool:
        if isinstance(node, promql_parser.MatrixSelector):
            found.append(node.vector_selector)
        elif isinstance(node, promql_parser.VectorSelector):
            found.append(node)
        return True

    promql_parser.walk(promql_parser.parse(expression), visit)
    return found


def groupings(expression: str) -> Iterator[str]:
    for labels in re.findall(r"\b(?:by|on|without)\s*\(([^)]*)\)", expression):
        yield from re.findall(r"\w+", labels)


def test_there_is_something_to_ask_for() -> None:
    assert len(exported()) > 30
    assert {"hub_connections", "hub_messages_total", "hub_relay_seconds_bucket"} <= exported().keys()
    assert exported()["hub_closes_total"] == {"kind", "code", "reason"}
    assert len(rules()) > 10
    assert len(panels()) > 15


@pytest.mark.parametrize("asker", EXPRESSIONS)
def test_what_is_asked_for_is_exported(asker: str) -> None:
    asked = selectors(EXPRESSIONS[asker])
    assert asked
    labels = set(OF_PROMETHEUS)
    for selector in asked:
        assert selector.name in exported()
        own = exported()[selector.name] | OF_PROMETHEUS
        for matcher in selector.matchers.matchers:
            assert matcher.name in own
            if matcher.name == "reason":
                assert matcher.value in REASONS[selector.name]
        labels |= own
    assert set(groupings(EXPRESSIONS[asker])) <= labels


@pytest.mark.parametrize("asker", EXPRESSIONS)
def test_totals_are_asked_for_their_growth(asker: str) -> None:
    """A counter's value by itself says how old the process is. TetherHubBug looks for one that has just appeared."""
    counters = re.findall(r"(\w+_(?:total|bucket))", EXPRESSIONS[asker])
    grown = re.findall(r"(?:rate|increase)\(\s*(\w+_(?:total|bucket))", EXPRESSIONS[asker])
    if asker != "TetherHubBug":
        assert counters == grown


def test_alerts_say_what_is_wrong_and_how_urgent_it_is() -> None:
    names = [rule["alert"] for rule in rules()]
    assert len(set(names)) == len(names)
    for rule in rules():
        assert rule["labels"]["severity"] in {"page", "ticket"}
        assert rule["annotations"]["summary"]
        shown = set(re.findall(r"\$labels\.(\w+)", str(rule["annotations"])))
        aggregated = re.match(r"(?:sum|max|min|histogram_quantile)\b", rule["expr"])
        assert shown <= (set(groupings(rule["expr"])) if aggregated else OF_PROMETHEUS)


def test_panels_have_a_place_of_their_own() -> None:
    everything = json.loads(text("grafana/tether-hub.json"))["panels"]
    assert len({panel["id"] for panel in everything}) == len(everything)
    taken: set[tuple[int, int]] = set()
    for panel in everything:
        place = panel["gridPos"]
        cells = {(place["x"] + x, place["y"] + y) for x in range(place["w"]) for y in range(place["h"])}
        assert not cells & taken, panel["title"]
        assert place["x"] + place["w"] <= 24
        taken |= cells


def test_panels_ask_the_source_that_is_chosen() -> None:
    assert {target["datasource"]["uid"] for panel in panels() for target in panel["targets"]} == {"${datasource}"}


def test_the_autoscaler_asks_for_a_metric_that_the_adapter_makes_of_an_exported_one() -> None:
    [metric] = base("HorizontalPodAutoscaler")["spec"]["metrics"]
    [rule] = document("prometheus/adapter.yaml")["rules"]
    [selector] = selectors(rule["seriesQuery"])
    assert metric["pods"]["metric"]["name"] == rule["name"]["as"]
    assert selector.name in exported()
    assert {matcher.name for matcher in selector.matchers.matchers} == rule["resources"]["overrides"].keys()


def test_prometheus_reads_the_pods_and_puts_the_labels_on_that_are_asked_for() -> None:
    configuration = document("prometheus/prometheus.yaml")
    assert configuration["rule_files"] == ["alerts.yaml"]
    [job] = configuration["scrape_configs"]
    jobs = {job for rule in rules() for job in re.findall(r'job="([^"]*)"', rule["expr"])}
    assert jobs == {job["job_name"]}
    [adapted] = document("prometheus/adapter.yaml")["rules"]
    put_on = {step["target_label"] for step in job["relabel_configs"] if "target_label" in step}
    assert put_on == adapted["resources"]["overrides"].keys()
    [kept] = [step["regex"] for step in job["relabel_configs"] if step.get("action") == "keep"]
    assert base("Deployment")["spec"]["template"]["metadata"]["labels"]["app.kubernetes.io/name"] == kept
