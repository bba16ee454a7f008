"""The list of commands that an account needs is held to the sources."""

import re
from pathlib import Path

from hub.doctor.redis_permissions import NEEDED, NEEDED_IN_CLUSTER

ALL = (*NEEDED, *NEEDED_IN_CLUSTER)
HUB = Path(__file__).parents[4] / "hub"
PACKAGES = ("cluster", "events", "journal", "mail", "presence", "revocation", "store")
_IN_LUA = re.compile(r"redis\.p?call\('([A-Z]+)'")
_SENT = re.compile(r"""(?<!startswith)(?<!index)\(\s*"([A-Z]{3,})"[,)]""")


def _used() -> set[str]:
    sources = [path for path in HUB.glob("*/*.py") if path.parent.name in PACKAGES]
    assert len(sources) > 10
    texts = [path.read_text("utf-8") for path in sources]
    return {name for text in texts for name in [*_IN_LUA.findall(text), *_SENT.findall(text)]}


def test_every_command_that_the_hub_uses_is_tried() -> None:
    assert _used() == {command[0] for command in ALL}


def test_the_list_for_operators_names_them_all() -> None:
    page = (HUB.parent / "docs" / "operations.md").read_text("utf-8")
    section = page.partition("The hub's account needs, on")[2].partition("\n\n")[0]
    assert {command[0] for command in ALL} <= {name.split()[0] for name in re.findall(r"`([A-Z ]+)`", section)}


def test_only_keys_of_the_hub_are_named() -> None:
    keyed = [
        command
        for command in NEEDED
        if command[0] not in ("PING", "TIME", "INFO", "SCAN", "SCRIPT", "EVALSHA", "XREAD")
    ]
    assert all(command[1].startswith("hub:") for command in keyed)
