import errno

import pytest

from hub.doctor.finding import Severity
from hub.doctor.port import Port, check_port
from tests.unit.hub.doctor.support import settings


@pytest.mark.parametrize(
    ("port", "severity", "found"),
    [
        (Port(), Severity.OK, "is free"),
        (Port(errno.EADDRINUSE, "alive"), Severity.NOTE, "a hub runs there"),
        (Port(errno.EADDRINUSE, "stuck"), Severity.ERROR, "it is stuck"),
        (Port(errno.EADDRINUSE), Severity.ERROR, "not by a hub"),
        (Port(errno.EACCES), Severity.ERROR, "may not listen"),
        (Port(errno.EADDRNOTAVAIL), Severity.ERROR, "no address of this machine"),
        (Port(-1), Severity.ERROR, "no address of this machine"),
    ],
)
def test_whether_the_hub_can_listen(port: Port, severity: Severity, found: str) -> None:
    (finding,) = check_port(settings(HUB_PORT="8080"), port)
    assert finding.severity is severity
    assert found in finding.found


def test_port_0_is_any_free_one() -> None:
    (finding,) = check_port(settings(HUB_PORT="0"), Port())
    assert (finding.severity, "any free port" in finding.found) == (Severity.OK, True)
