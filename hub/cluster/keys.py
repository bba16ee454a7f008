"""The names of the cluster's keys and channels in Redis, beside the contract.

The user id stands in braces, so that all keys of one user share a cluster slot; so do the nodes' own keys. Ids hold no
braces (`actors.ids.ID_PATTERN`), so names can't be forged.
"""

from actors.ids import NodeId, UserId

LEASES = "hub:{nodes}:leases"
"""Sorted set: node id -> when its lease runs out, in milliseconds since the epoch by Redis' clock."""

ABOUT = "hub:{nodes}:about"
"""Hash: node id -> what it tells about itself, JSON."""

LOST = "hub:{nodes}:lost"
"""Sorted set: id of a node whose lease ran out -> when somebody began to clean up after it; 0: nobody did yet."""

BEAT = "hub:{nodes}:beat"
"""String: when any node last renewed its lease, in milliseconds since the epoch by Redis' clock."""

OF_NODES = (LEASES, ABOUT, LOST, BEAT)
"""As the scripts take them."""


def here(user_id: UserId) -> str:
    """Hash: node id -> its share of the user (`hub.cluster.words`)."""
    return f"hub:{{{user_id}}}:here"


def channel(node_id: NodeId) -> str:
    """The sharded Pub/Sub channel that a node listens to."""
    return f"hub:node:{node_id}"
