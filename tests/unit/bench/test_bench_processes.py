"""Reading /proc."""

import os
import subprocess
import sys
import time

import pytest

from tests.bench import processes
from tests.bench.processes import Usage, parse_stat

TICKS = os.sysconf("SC_CLK_TCK")


def stat_line(name: str, utime: int, stime: int, cutime: int = 0, cstime: int = 0) -> str:
    return f"42 ({name}) S 7 42 42 0 -1 4194560 1 2 3 4 {utime} {stime} {cutime} {cstime} 20 0 1 0 99"


@pytest.mark.parametrize("name", ["hub", "two words", "odd) name", "(x"])
def test_a_name_may_hold_anything(name: str) -> None:
    process = parse_stat(stat_line(name, 100, 50))
    assert (process.pid, process.name, process.parent) == (42, name, 7)


def test_ended_children_count() -> None:
    assert parse_stat(stat_line("hub", 1, 2, 3, 4)).cpu_s == pytest.approx(10 / TICKS)


@pytest.mark.parametrize(("name", "is_store"), [("valkey-server", True), ("redis-server", True), ("hub", False)])
def test_the_embedded_store_is_told_apart(name: str, *, is_store: bool) -> None:
    assert parse_stat(stat_line(name, 0, 0)).is_store is is_store


def test_usage_adds_up_and_subtracts() -> None:
    used = Usage(own=5.0, store=3.0) - Usage(own=1.0, store=2.0)
    assert used == Usage(own=4.0, store=1.0)
    assert used.total == 5.0


def test_the_tree_has_children_and_their_children() -> None:
    script = "import subprocess, sys; subprocess.run([sys.executable, '-c', 'input()'])"
    with subprocess.Popen([sys.executable, "-c", script], stdin=subprocess.PIPE) as child:
        deadline = time.monotonic() + 20
        while len(processes.tree(child.pid)) < 2 and time.monotonic() < deadline:
            time.sleep(0.02)
        members = processes.tree(child.pid)
        assert members[0].pid == child.pid
        assert members[1].parent == child.pid
        assert processes.resident_kib(child.pid).own > 1_000
        child.communicate(b"\n", timeout=20)


def test_a_process_that_is_gone_has_used_nothing() -> None:
    with subprocess.Popen(["true"]) as child:
        child.wait(timeout=20)
    assert processes.cpu_seconds(child.pid) == Usage(0.0, 0.0)
