"""A phone's connection on another node, as a letter knows what it came from (ADR 0011)."""

from dataclasses import dataclass

from actors.ids import ConnectionId, NodeId
from actors.mail import Receipt, Sender
from actors.messages import Fault
from actors.nodes import Told, Undelivered
from actors.ports import Cluster


@dataclass(frozen=True, slots=True)
class Afar:
    """In the place of the connection itself: `actors.routes.Origin`."""

    node_id: NodeId
    connection_id: ConnectionId
    cluster: Cluster

    def letter_under_way(self, size: int) -> None:
        """Its own node holds it up."""

    def letter_answered(self, size: int) -> None:
        """Its own node lets it go on."""

    def told(self, sender: Sender, receipt: Receipt) -> None:
        """Something became known of the letter."""
        self.cluster.send(self.node_id, Told(sender, receipt, self.connection_id))

    def undelivered(self, kind: str, fault: Fault) -> None:
        """The letter goes nowhere."""
        self.cluster.send(self.node_id, Undelivered(self.connection_id, kind, fault))
