"""Every file of deploy/ reads well, and what it sets is what the hub can be set to."""

import json
import re
from pathlib import Path
from typing import Any

import pytest
from yamllint import linter
from yamllint.config import YamlLintConfig

from hub.config import Settings, load_settings, variable_name
from tests.support.deploy_files import FILES, base, directives, document, name, text, variables

YAML = [path for path in FILES if path.suffix == ".yaml"]
KNOWN = {variable_name(field) for field in Settings.model_fields}
INJECTED_BY_KUBERNETES = {"HUB_SERVICE_HOST"}
SECRET = "s" * 32
REDIS = "redis://:password@redis:6379/0"


def expanded(value: object) -> str:
    """What compose makes of a value when nothing is set but what has to be."""
    value = re.sub(r"\$\{\w+:\?[^}]*\}", SECRET, str(value))
    return re.sub(r"\$\{\w+:-([^}]*)\}", r"\1", value)


def image_variables() -> dict[str, str]:
    return dict(re.findall(r"\b(HUB_\w+)=([^\s\\]+)", text("Dockerfile")))


def compose_environments() -> dict[str, dict[str, str]]:
    return {
        f"{file}: {service}": {key: expanded(value) for key, value in parts["environment"].items()}
        for file in ("compose.yaml", "compose.cluster.yaml")
        for service, parts in document(file)["services"].items()
        if service.startswith("hub")
    }


def kubernetes_environment() -> dict[str, str]:
    [container] = base("Deployment")["spec"]["template"]["spec"]["containers"]
    given = {"HUB_NODE_NAME": "tether-hub-7d9c-x2x4z", "HUB_REDIS_URL": REDIS, "HUB_JWT_SECRET": SECRET}
    assert {variable["name"] for variable in container["env"]} == given.keys()
    [overlay] = document("kubernetes/overlays/example/kustomization.yaml")["configMapGenerator"]
    merged = dict(literal.split("=", 1) for literal in overlay["literals"])
    return variables("kubernetes/base/settings.env") | merged | given


def systemd_environment() -> dict[str, str]:
    [line] = directives("systemd/tether-hub.service", "Environment")
    places = {"%H": "host.example", "%S": "/var/lib"}
    own = dict(pair.split("=", 1) for pair in re.sub("%[HS]", lambda place: places[place[0]], line).split())
    return own | variables("systemd/hub.env") | {"HUB_JWT_SECRET": SECRET}


ENVIRONMENTS = {
    **{form: image_variables() | variables for form, variables in compose_environments().items()},
    "kubernetes": image_variables() | kubernetes_environment(),
    "systemd": systemd_environment(),
}


@pytest.mark.parametrize("path", YAML, ids=name)
def test_yaml_is_tidy(path: Path) -> None:
    assert list(linter.run(path.read_text("utf-8"), YamlLintConfig("extends: default"))) == []


@pytest.mark.parametrize("path", FILES, ids=name)
def test_every_variable_that_is_named_is_a_setting(path: Path) -> None:
    named = set(re.findall(r"\bHUB_[A-Z][A-Z_]*[A-Z]\b", path.read_text("utf-8")))
    assert named <= KNOWN | INJECTED_BY_KUBERNETES


@pytest.mark.parametrize("form", ENVIRONMENTS)
def test_the_hub_starts_on_what_is_set(form: str) -> None:
    settings = load_settings(ENVIRONMENTS[form])
    assert settings.jwt_secret is not None
    assert settings.node_name != load_settings({"HUB_JWT_SECRET": SECRET}).node_name


def test_hubs_beside_each_other_share_their_redis_and_no_name() -> None:
    cluster = [load_settings(hub) for form, hub in compose_environments().items() if "cluster" in form]
    assert len(cluster) == 2
    assert len({hub.node_name for hub in cluster}) == 2
    assert {hub.redis_url for hub in cluster} == {"redis://valkey:6379/0"}


def test_the_hubs_of_the_cluster_are_those_that_the_proxies_know() -> None:
    services = {service for service in document("compose.cluster.yaml")["services"] if service.startswith("hub")}
    assert {server.split(":")[0] for server in directives("nginx/hub.conf", "server") if ":" in server} == services
    assert {server.split()[0] for server in directives("haproxy/haproxy.cfg", "server")} == services


def test_only_the_proxy_is_reached_from_outside_the_cluster() -> None:
    services = document("compose.cluster.yaml")["services"]
    published = {service: parts["ports"] for service, parts in services.items() if "ports" in parts}
    assert published == {"nginx": ["127.0.0.1:8080:8080"]}
    assert document("compose.cluster.yaml")["networks"]["back"] == {"internal": True}
    assert services["valkey"]["networks"] == ["back"]


@pytest.mark.parametrize("service", ["compose.yaml: hub", "compose.cluster.yaml: hub-1", "compose.cluster.yaml: nginx"])
def test_containers_have_no_rights_and_a_read_only_root(service: str) -> None:
    file, _, service = service.partition(": ")
    parts: dict[str, Any] = document(file)["services"][service]
    assert parts["read_only"] is True
    assert parts["cap_drop"] == ["ALL"]
    assert parts["security_opt"] == ["no-new-privileges:true"]


def test_the_image_runs_as_a_user_of_its_own_and_asks_for_no_volume() -> None:
    instructions = [line.split(" ", 1) for line in text("Dockerfile").splitlines() if re.match("[A-Z]+ ", line)]
    names = [instruction for instruction, _ in instructions]
    assert "VOLUME" not in names
    assert [argument for instruction, argument in instructions if instruction == "USER"] == ["hub"]
    assert names.index("USER") < names.index("CMD")
    assert "/healthz" in text("Dockerfile").partition("HEALTHCHECK")[2]


def test_the_dashboard_is_json() -> None:
    assert json.loads(text("grafana/tether-hub.json"))["title"] == "Tether Hub"
