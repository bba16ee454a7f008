"""What desktops say, from node to node: letting other nodes hear the desktops that are here (ADR 0011)."""

from collections.abc import Callable
from functools import partial

from actors.ids import Epoch, NodeId
from actors.nodes import Listen
from actors.offsets import Offset
from actors.registry import Registry
from actors.relay import Relay
from actors.relaying import Desk
from actors.routes import DesktopRoute, MobileRoute
from actors.surroundings import Surroundings


class FanOut:
    """One a node.

    Args:
        around: What all actors share.
        registry: The supervisor's.
        doubt: Is told of connections that another node has heard.
    """

    def __init__(
        self,
        around: Surroundings,
        registry: Registry[DesktopRoute, MobileRoute],
        doubt: Callable[[Desk, Epoch], None],
    ) -> None:
        self._around = around
        self._registry = registry
        self._doubt = doubt

    def listen(self, node_id: NodeId, listen: Listen) -> None:
        """Let another node hear a desktop that is here, and give it what its phones miss."""
        desktop = self._registry.find(listen.user_id, listen.desktop_id)
        if desktop is not None and listen.after is not None and listen.after.seq:
            self._doubt(desktop, Epoch(listen.after.epoch))  # This node may not know that it spoke there.
        if desktop is None or not desktop.here:
            return
        self._relay_to(desktop, node_id).answer(listen, desktop.epoch)
        if desktop.connection is not None:
            # What the other node's phones sent before it knew where the desktop is.
            desktop.connection.look_for_mail()

    def end(self, desktop: Desk, offset: Offset) -> None:
        """The desktop's connection here has said its last: tell the nodes that listen."""
        for relay in desktop.relays.values():
            relay.end(offset)

    def stop(self, desktop: Desk) -> None:
        """The desktop is elsewhere now: whoever listens, asks there."""
        for node_id in list(desktop.relays):
            self._registry.relay_to(desktop, node_id, None)

    def _relay_to(self, desktop: Desk, node_id: NodeId) -> Relay:
        relay = desktop.relays.get(node_id)
        if relay is None:
            relay = Relay(
                desktop.owner,
                desktop.desktop_id,
                ring=lambda: desktop.ring,
                turns=self._around.turns,
                send=partial(self._around.cluster.send, node_id),
            )
            self._registry.relay_to(desktop, node_id, relay)
        return relay
