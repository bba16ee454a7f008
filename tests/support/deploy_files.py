"""What stands in deploy/: read, and never run."""

import re
from pathlib import Path
from typing import Any

import yaml

ROOT = Path(__file__).parents[2]
DEPLOY = ROOT / "deploy"
FILES = sorted(path for path in DEPLOY.rglob("*") if path.is_file())
KUBERNETES = DEPLOY / "kubernetes"
KUSTOMIZATIONS = sorted(KUBERNETES.rglob("kustomization.yaml"))
PATCHES = [KUBERNETES / "overlays/example/autoscaler.yaml"]
MANIFESTS = sorted(set(KUBERNETES.rglob("*.yaml")) - set(KUSTOMIZATIONS) - set(PATCHES))

_UNITS = {"ms": 0.001, "s": 1.0, "m": 60.0, "h": 3600.0, "": 1.0}


def name(path: Path) -> str:
    return str(path.relative_to(ROOT))


def text(path: str) -> str:
    return (DEPLOY / path).read_text("utf-8")


def document(path: str) -> dict[str, Any]:
    """The one document of a YAML file."""
    read: dict[str, Any] = yaml.safe_load(text(path))
    return read


def base(kind: str) -> dict[str, Any]:
    """The manifest of this kind in the base."""
    [found] = [
        manifest
        for path in MANIFESTS
        if path.parent.name == "base" and (manifest := yaml.safe_load(path.read_text("utf-8")))["kind"] == kind
    ]
    return dict(found)


def seconds(span: str) -> float:
    """The length of `150s`, `2m`, `500ms` or `25`."""
    parts = re.fullmatch(r"(\d+)(ms|s|m|h|)", span)
    assert parts is not None, span
    return int(parts[1]) * _UNITS[parts[2]]


def variables(path: str) -> dict[str, str]:
    """The lines NAME=VALUE of a file."""
    lines = [line for line in text(path).splitlines() if line and not line.startswith("#")]
    return dict(line.split("=", 1) for line in lines)


def directives(path: str, directive: str) -> list[str]:
    """What stands behind a directive of nginx, HAProxy or systemd, each time it is given; comments don't count."""
    lines = re.findall(rf"^\s*{re.escape(directive)}[\s=]\s*(.*?);?\s*$", text(path), re.MULTILINE)
    return [str(line) for line in lines]
