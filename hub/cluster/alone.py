"""A hub that can't have neighbours: one worker on a Redis of its own."""

from collections.abc import Callable, Mapping

from actors.ids import NodeId, UserId
from actors.nodes import Share, Word


class Alone:
    """Adapter of `actors.ports.Cluster` to nobody. It answers at once, within the call."""

    def enter(
        self, user_id: UserId, share: Share | None, answer: Callable[[Mapping[NodeId, Share] | None], None]
    ) -> None:
        """Nobody else holds anything of anybody."""
        answer({})

    def send(self, node_id: NodeId, word: Word) -> None:
        """There is nobody to send to.

        Raises:
            AssertionError: Always: whoever calls it has made up a node.
        """
        raise AssertionError(f"this hub is alone, and there is no node {node_id}")
