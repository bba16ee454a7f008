"""The systemd unit: read by systemd itself where it is installed, and by us everywhere."""

import configparser
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from tests.support.deploy_files import text

UNIT = "systemd/tether-hub.service"
PROGRAM = "/opt/tether-hub/bin/hub"
HARDENING = {
    "DynamicUser": "yes",
    "CapabilityBoundingSet": "",
    "MemoryDenyWriteExecute": "yes",
    "PrivateDevices": "yes",
    "ProtectHome": "yes",
    "ProtectKernelTunables": "yes",
    "RestrictNamespaces": "yes",
    "RestrictAddressFamilies": "AF_INET AF_INET6 AF_UNIX",
    "StateDirectoryMode": "0700",
    "UMask": "0077",
}


@pytest.fixture
def unit() -> configparser.ConfigParser:
    parser = configparser.ConfigParser(strict=False, interpolation=None)
    parser.optionxform = str  # type: ignore[assignment,method-assign]  # keys are told apart by case
    parser.read_string(text(UNIT))
    return parser


def test_the_unit_has_its_parts(unit: configparser.ConfigParser) -> None:
    assert unit.sections() == ["Unit", "Service", "Install"]
    service = unit["Service"]
    assert service["ExecStart"] == f"{PROGRAM} serve"
    assert service["ExecReload"] == "/bin/kill -HUP $MAINPID"
    assert service["Restart"] == "always"
    assert service["RestartPreventExitStatus"] == "2"
    assert int(service["LimitNOFILE"]) >= 65_536
    assert unit["Install"]["WantedBy"] == "multi-user.target"


def test_the_unit_gives_the_hub_no_more_than_it_needs(unit: configparser.ConfigParser) -> None:
    service = unit["Service"]
    assert {key: service[key] for key in HARDENING} == HARDENING


def test_the_data_directory_is_the_one_that_systemd_makes(unit: configparser.ConfigParser) -> None:
    service = unit["Service"]
    assert f"HUB_DATA_DIR=%S/{service['StateDirectory']}" in service["Environment"].split()
    assert service["EnvironmentFile"] == "/etc/tether-hub/hub.env"


@pytest.mark.skipif(shutil.which("systemd-analyze") is None, reason="systemd isn't installed; checked by us alone")
def test_systemd_finds_no_fault_in_the_unit(tmp_path: Path) -> None:
    copy = tmp_path / "tether-hub.service"
    copy.write_text(text(UNIT).replace(PROGRAM, sys.executable), "utf-8")
    command = ["systemd-analyze", "verify", "--man=no", str(copy)]
    said = subprocess.run(command, capture_output=True, text=True, timeout=30, check=False)
    assert [line for line in said.stderr.splitlines() if "tether-hub" in line] == []
    assert said.returncode == 0, said.stderr
