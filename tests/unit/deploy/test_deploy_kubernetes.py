"""The manifests: right by the schemas of Kubernetes, and of one piece."""

import re
import shutil
import subprocess
from pathlib import Path
from typing import Any

import pytest
import yaml
from kubernetes_validate.utils import validate

from tests.support.deploy_files import KUBERNETES, KUSTOMIZATIONS, MANIFESTS, PATCHES, base, document, name, text

VERSIONS = ("1.29", "1.37")
"""The oldest version of Kubernetes that the manifests are for, and the newest that there is a schema for."""

OVERLAY = KUBERNETES / "overlays/example"
LABELS = {"app.kubernetes.io/name": "tether-hub"}


def read(path: Path) -> dict[str, Any]:
    manifest: dict[str, Any] = yaml.safe_load(path.read_text("utf-8"))
    return manifest


def pod() -> dict[str, Any]:
    spec: dict[str, Any] = base("Deployment")["spec"]["template"]["spec"]
    return spec


def container() -> dict[str, Any]:
    [only] = pod()["containers"]
    return dict(only)


@pytest.mark.parametrize("version", VERSIONS)
@pytest.mark.parametrize("path", MANIFESTS, ids=name)
def test_manifests_keep_the_schema(path: Path, version: str) -> None:
    assert validate(read(path), version, strict=True) == version


@pytest.mark.parametrize("version", VERSIONS)
@pytest.mark.skipif(shutil.which("kubectl") is None, reason="kubectl isn't installed; the references are checked by us")
def test_what_kustomize_makes_keeps_the_schema(version: str) -> None:
    command = ["kubectl", "kustomize", str(OVERLAY)]
    made = subprocess.run(command, capture_output=True, text=True, timeout=50, check=False)
    assert made.returncode == 0, made.stderr
    assert made.stderr == ""
    manifests = list(yaml.safe_load_all(made.stdout))
    assert len(manifests) == len(MANIFESTS) + 1, "the files, and the ConfigMap that is generated"
    for manifest in manifests:
        validate(manifest, version, strict=True)


@pytest.mark.parametrize("path", KUSTOMIZATIONS, ids=name)
def test_everything_that_a_kustomization_names_exists_and_nothing_lies_about(path: Path) -> None:
    kustomization = read(path)
    generated = [env for generator in kustomization["configMapGenerator"] for env in generator.get("envs", ())]
    patches = [patch["path"] for patch in kustomization.get("patches", ())]
    folders = [named for named in kustomization["resources"] if named.startswith("..")]
    assert all((path.parent / folder / "kustomization.yaml").exists() for folder in folders)
    named = {*kustomization["resources"], *generated, *patches} - {*folders}
    assert named == {file.name for file in path.parent.iterdir()} - {"kustomization.yaml"}


def test_the_overlay_changes_what_the_base_has() -> None:
    for path in PATCHES:
        patch = read(path)
        target = base(patch["kind"])
        assert patch["apiVersion"] == target["apiVersion"]
        assert patch["metadata"]["name"] == target["metadata"]["name"]
    [generator] = document("kubernetes/base/kustomization.yaml")["configMapGenerator"]
    [merged] = document("kubernetes/overlays/example/kustomization.yaml")["configMapGenerator"]
    assert (merged["name"], merged["behavior"]) == (generator["name"], "merge")
    [image] = document("kubernetes/overlays/example/kustomization.yaml")["images"]
    assert image["name"] == container()["image"]
    assert container()["envFrom"] == [{"configMapRef": {"name": generator["name"]}}]


def test_everything_selects_the_pods_of_the_deployment() -> None:
    deployment = base("Deployment")["spec"]
    assert deployment["template"]["metadata"]["labels"] == LABELS
    assert deployment["selector"] == {"matchLabels": LABELS}
    assert base("Service")["spec"]["selector"] == LABELS
    assert base("PodDisruptionBudget")["spec"]["selector"] == {"matchLabels": LABELS}
    assert base("NetworkPolicy")["spec"]["podSelector"] == {"matchLabels": LABELS}
    for spread in pod()["topologySpreadConstraints"]:
        assert spread["labelSelector"] == {"matchLabels": LABELS}
    scaled = base("HorizontalPodAutoscaler")["spec"]["scaleTargetRef"]
    deployed = base("Deployment")
    assert scaled == {"apiVersion": "apps/v1", "kind": "Deployment", "name": deployed["metadata"]["name"]}
    assert "replicas" not in deployment, "an update would undo what the autoscaler did"


def test_the_port_is_the_same_everywhere() -> None:
    [port] = container()["ports"]
    assert f"HUB_PORT={port['containerPort']} " in text("Dockerfile")
    for probe in ("startupProbe", "livenessProbe", "readinessProbe"):
        assert container()[probe]["httpGet"]["port"] == port["name"]
    [outer] = base("Service")["spec"]["ports"]
    assert outer["targetPort"] == port["name"]
    [rule] = base("NetworkPolicy")["spec"]["ingress"]
    assert rule["ports"] == [{"port": port["name"]}]


def test_the_ingress_routes_the_paths_of_clients_and_no_other() -> None:
    spec = document("kubernetes/overlays/example/ingress.yaml")["spec"]
    assert "defaultBackend" not in spec
    [rule] = spec["rules"]
    routes = {path["path"]: path["pathType"] for path in rule["http"]["paths"]}
    assert routes == {"/ws/desktop": "Exact", "/ws/mobile": "Exact"}
    [outer] = base("Service")["spec"]["ports"]
    service = {"name": base("Service")["metadata"]["name"], "port": {"name": outer["name"]}}
    assert all(path["backend"] == {"service": service} for path in rule["http"]["paths"])


def test_only_those_who_are_named_reach_a_hub() -> None:
    spec = base("NetworkPolicy")["spec"]
    assert spec["policyTypes"] == ["Ingress"]
    [rule] = spec["ingress"]
    assert rule["from"]
    assert all(peer and all(selector.get("matchLabels") for selector in peer.values()) for peer in rule["from"])


def test_the_hub_has_no_rights_and_a_read_only_root() -> None:
    assert container()["securityContext"] == {
        "allowPrivilegeEscalation": False,
        "readOnlyRootFilesystem": True,
        "capabilities": {"drop": ["ALL"]},
    }
    user = re.search(r"--uid (\d+)", text("Dockerfile"))
    assert user is not None
    assert pod()["securityContext"] == {
        "runAsNonRoot": True,
        "runAsUser": int(user[1]),
        "runAsGroup": int(user[1]),
        "seccompProfile": {"type": "RuntimeDefault"},
    }
    assert pod()["automountServiceAccountToken"] is False
    assert pod()["enableServiceLinks"] is False
    assert [mount["mountPath"] for mount in container()["volumeMounts"]] == ["/tmp"]
    assert container()["resources"].keys() == {"requests", "limits"}


def test_secrets_are_named_and_never_written_down() -> None:
    assert [path for path in MANIFESTS if read(path)["kind"] == "Secret"] == []
    secret = {variable["name"]: variable["valueFrom"] for variable in container()["env"]}
    assert secret["HUB_JWT_SECRET"] == {"secretKeyRef": {"name": "tether-hub", "key": "jwt-secret"}}
    assert secret["HUB_REDIS_URL"] == {"secretKeyRef": {"name": "tether-hub", "key": "redis-url"}}
    assert secret["HUB_NODE_NAME"] == {"fieldRef": {"fieldPath": "metadata.name"}}
