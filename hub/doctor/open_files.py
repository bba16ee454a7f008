"""The limit of open files: every connection is one (docs/operations.md, "File descriptors")."""

from collections.abc import Iterator

from hub.app import OWN_FILES, SPARE_SOCKETS
from hub.config import Settings
from hub.doctor.finding import Finding, ok, warning

_ABOUT = "open files"
_FEW = 1000


def check_open_files(settings: Settings, hard_limit: int) -> Iterator[Finding]:
    """Compare the hard limit, which the hub raises its own to, with the connections that are wanted.

    The limit is that of this shell: a service's own may differ.
    """
    room = max(0, hard_limit - OWN_FILES - SPARE_SOCKETS)
    wanted = settings.max_connections
    if wanted is not None and wanted > room:
        yield warning(
            _ABOUT,
            f"room for {room} connections, HUB_MAX_CONNECTIONS asks for {wanted}",
            f"raise the hard limit (ulimit -Hn, LimitNOFILE) to {wanted + OWN_FILES + SPARE_SOCKETS}",
        )
    elif wanted is None and room < _FEW:
        yield warning(_ABOUT, f"room for {room} connections only", "raise the hard limit (ulimit -Hn, LimitNOFILE)")
    else:
        yield ok(_ABOUT, f"the limit of this shell, {hard_limit}, has room for {room} connections")
