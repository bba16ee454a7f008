"""The docs say what the sources do: links lead somewhere, and names, settings and codes are all there."""

import re
from collections.abc import Iterator
from pathlib import Path
from unittest.mock import Mock

import pytest

from actors.closing import CloseReason
from actors.desktop import NOT_ALLOWED, RELAYED
from actors.messages import ErrorCode
from actors.mobile import ADDRESSED
from actors.tallies import Tallies
from hub.config_view import list_settings
from hub.metrics import NodeCollector
from hub.node import Node

ROOT = Path(__file__).parents[2]
PAGES = sorted([*ROOT.glob("*.md"), *ROOT.glob("docs/**/*.md")])
SOURCES = sorted([*ROOT.glob("actors/**/*.py"), *ROOT.glob("hub/**/*.py"), *ROOT.glob("tests/**/*.py")])
DEPLOYED = sorted(path for path in ROOT.glob("deploy/*") if path.is_file())
CHECKED_IN = [*PAGES, *DEPLOYED, ROOT / "Makefile", ROOT / ".ci/run", ROOT / ".dockerignore", ROOT / "pyproject.toml"]

_CODE = re.compile(r"^```.*?^```|^ {4}.*?$|`[^`\n]*`", re.MULTILINE | re.DOTALL)
_LINK = re.compile(r"\[[^\]]*\]\(([^)\s]+)\)")
_HEADING = re.compile(r"^#+ (.+)$", re.MULTILINE)
_QUOTED_SECTION = re.compile(r"docs/(\w+)\.md,\s+[\"“](.+?)[\"”]", re.DOTALL)
_ADR = re.compile(r"ADR (\d{4})")
_SETTING = re.compile(r"\bHUB_[A-Z][A-Z_]*[A-Z]\b")


def _name(path: Path) -> str:
    return str(path.relative_to(ROOT))


def _headings(page: Path) -> list[str]:
    without_code = re.sub(r"^```.*?^```", "", page.read_text("utf-8"), flags=re.MULTILINE | re.DOTALL)
    return _HEADING.findall(without_code)


def _anchor(heading: str) -> str:
    """Return the anchor that common renderers give a heading."""
    return re.sub(r"[^\w\- ]", "", heading.lower()).replace(" ", "-")


def _links(page: Path) -> Iterator[tuple[Path, str]]:
    for target in _LINK.findall(_CODE.sub("", page.read_text("utf-8"))):
        if not target.startswith(("http://", "https://")):
            path, _, anchor = target.partition("#")
            yield (page.parent / path).resolve() if path else page, anchor


def _page(name: str) -> str:
    return (ROOT / "docs" / name).read_text("utf-8")


def _set_variables() -> set[str]:
    return {line.variable for line in list_settings()}


@pytest.mark.parametrize("page", PAGES, ids=_name)
def test_links_lead_somewhere(page: Path) -> None:
    for target, anchor in _links(page):
        assert target.is_relative_to(ROOT)
        assert target.exists(), f"{_name(page)} links to {_name(target)}"
        if anchor:
            anchors = [_anchor(heading) for heading in _headings(target)]
            assert anchor in anchors, f"{_name(page)} links to #{anchor} of {_name(target)}"


def test_every_page_is_reached_from_the_readme() -> None:
    reached, waiting = set(), [ROOT / "README.md"]
    while waiting:
        page = waiting.pop()
        if page in reached or page.suffix != ".md":
            continue
        reached.add(page)
        waiting += [target for target, _ in _links(page)]
    assert set(PAGES) <= reached


def test_sections_and_decisions_that_sources_name_exist() -> None:
    decisions = {path.name[:4] for path in ROOT.glob("docs/adr/0*.md")}
    for source in SOURCES:
        text = source.read_text("utf-8")
        assert set(_ADR.findall(text)) <= decisions, _name(source)
        for page, section in _QUOTED_SECTION.findall(text):
            found = _headings(ROOT / "docs" / f"{page}.md")
            assert " ".join(section.split()) in found, f"{_name(source)} names a section of docs/{page}.md"


def test_decisions_have_their_parts_and_stand_in_the_index() -> None:
    index = (ROOT / "docs/adr/README.md").read_text("utf-8")
    for decision in ROOT.glob("docs/adr/0*.md"):
        assert f"]({decision.name})" in index
        assert {"Context", "Decision", "Consequences", "Alternatives"} <= set(_headings(decision)), decision.name


def test_every_setting_is_described_with_its_default() -> None:
    rows = dict(re.findall(r"^\| `(HUB_\w+)` \| (.*?) \| ", _page("operations.md"), re.MULTILINE))
    for line in list_settings():
        assert line.variable in rows
        if line.source == "default" and line.value != "data":
            assert rows[line.variable] == (f"`{line.value}`" if line.value else "unset"), line.variable


@pytest.mark.parametrize("page", [*PAGES, *DEPLOYED], ids=_name)
def test_no_page_names_a_setting_that_is_not_there(page: Path) -> None:
    injected_by_kubernetes = {"HUB_SERVICE_HOST"}
    assert set(_SETTING.findall(page.read_text("utf-8"))) <= _set_variables() | {"HUB_TOKEN"} | injected_by_kubernetes


def _metric_names() -> list[str]:
    node = Mock(spec=Node, tallies=Tallies())
    node.refusals = {}
    node.supervisor = Mock(open_routes=Mock(return_value=[]))
    node.mirror = Mock(available=True, lag_s=0.0, written_changes=0, outages=0, dropped_changes=0, dropped_entries=0)
    node.mailroom = Mock(ledger=Mock(stored=0, outages=0, dropped=0), lag_s=0.0)
    node.journal = Mock(written=0, stale=0, dropped=0, lag_s=0.0)
    node.revocations = Mock(in_force=0, up_to_date=True, unwritten=0, dropped=0)
    node.neighbourhood = None
    suffix = {"counter": "_total"}
    return [metric.name + suffix.get(metric.type, "") for metric in NodeCollector(node, lambda: 0).collect()]


def test_every_metric_is_described() -> None:
    names = _metric_names()
    assert len(names) > 10
    described = set(re.findall(r"\bhub_[a-z_]+", _page("operations.md")))
    assert set(names) - described == set()
    assert {name for name in described if name.endswith("_total")} <= set(names)


def test_every_close_reason_stands_with_its_code_and_what_phones_see() -> None:
    page = _page("protocol.md")
    rows = {
        name: (code, seen) for code, name, seen in re.findall(r"^\| (\d{4}) \| `(\w+)` \| .* \| (.*) \|$", page, re.M)
    }
    for reason in CloseReason:
        code, seen = rows[reason.label]
        assert int(code) == reason.code
        if not seen.startswith("nothing"):
            assert f"`{reason.value.presence}`" in seen, reason
            assert ("after the grace" in seen) is reason.value.graced, reason


def test_every_error_code_and_message_type_is_described() -> None:
    page = _page("protocol.md")
    for name in [*ErrorCode, *RELAYED, *ADDRESSED, *NOT_ALLOWED, "heartbeat", "goodbye", "auth:refresh"]:
        assert f"`{name}`" in page


def test_every_row_of_the_hostile_table_names_a_test_that_exists() -> None:
    rows = [
        line for line in _page("hostile.md").splitlines() if line.startswith("| ") and not line.startswith("| attack")
    ]
    assert len(rows) > 20
    for row in rows:
        proofs = re.findall(r"`(tests/[\w/]+\.py)`", row.split(" | ")[-1])
        assert proofs, row
        for proof in proofs:
            assert (ROOT / proof).exists(), row


def test_ci_runs_the_checks_and_the_tests_and_nothing_else() -> None:
    script = ROOT / ".ci/run"
    commands = [line for line in script.read_text("utf-8").splitlines() if line and not line.startswith("#")]
    assert commands == ["set -euo pipefail", 'cd "$(dirname "$0")/.."', "make check", "make test"]
    assert script.stat().st_mode & 0o111


def test_what_the_image_copies_exists_and_reaches_the_builder() -> None:
    let_through = set(re.findall(r"^!(.+?)/?$", (ROOT / ".dockerignore").read_text("utf-8"), re.MULTILINE))
    for line in re.findall(r"^COPY (?!--from)(.+)$", (ROOT / "deploy/Dockerfile").read_text("utf-8"), re.MULTILINE):
        for source in line.split()[:-1]:
            assert (ROOT / source).exists()
            assert source.rstrip("/") in let_through


@pytest.mark.parametrize("path", CHECKED_IN, ids=_name)
def test_nothing_names_a_registry_or_the_place_where_it_was_written(path: Path) -> None:
    text = path.read_text("utf-8")
    hosts = ("pypi" + ".org", "pythonhosted" + ".org", "docker" + ".io", "ghcr" + ".io", "quay" + ".io", "gcr" + ".io")
    assert not [word for word in (*hosts, "/work" + "/", "../sha" + "red") if word in text]
