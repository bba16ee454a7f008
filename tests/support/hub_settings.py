"""The settings of the hubs that a whole run shares (tests/support/hub_fixtures.py)."""

from collections.abc import Callable

from tests.support.hub_process import HubProcess

PAGE = "https://app.example"

PLAIN = {"HUB_ALLOWED_ORIGINS": PAGE, "HUB_RATE_LIMIT": "off", "HUB_OFFLINE_GRACE_S": "0.6"}
"""The hub as it comes, but for what would be in the tests' way."""

BRISK = {
    "HUB_HEARTBEAT_TIMEOUT_S": "2",
    "HUB_PRESENCE_TTL_S": "2",
    "HUB_OFFLINE_GRACE_S": "0.6",
    "HUB_HANDSHAKE_DEADLINE_S": "1",
    "HUB_WRITE_STALL_S": "1",
    "HUB_CLOSE_DEADLINE_S": "1",
    "HUB_JWT_LEEWAY_S": "1",
    "HUB_MAX_DESKTOPS_PER_USER": "2",
    "HUB_MAX_MOBILES_PER_USER": "2",
    "HUB_RATE_LIMIT": "50:100",
}
"""Everything that takes minutes takes seconds, and what is plenty is little."""

NewHub = Callable[..., HubProcess]
"""The fixture `new_hub`; takes what `HubProcess` takes."""
