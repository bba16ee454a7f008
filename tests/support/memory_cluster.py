"""Several nodes in one process: a twin of the adapter to Redis for tests, with faults on demand."""

from collections import deque
from collections.abc import Callable, Mapping
from functools import partial
from typing import TypeAlias

from actors.ids import NodeId, UserId
from actors.nodes import Share, Word
from actors.ports import Scheduler

Answer: TypeAlias = Callable[[Mapping[NodeId, Share] | None], None]


def _ignore(*_: object) -> None:
    """Whoever wants to hear nothing."""


class Line:
    """What is on its way, in order; it can be held up."""

    def __init__(self, scheduler: Scheduler) -> None:
        self._scheduler = scheduler
        self._waiting: deque[Callable[[], None]] = deque()
        self._held = False

    def put(self, act: Callable[[], None]) -> None:
        self._waiting.append(act)
        if not self._held:
            self._scheduler.call_soon(self._next)

    def hold(self) -> None:
        self._held = True

    def release(self) -> None:
        self._held = False
        for _ in range(len(self._waiting)):
            self._scheduler.call_soon(self._next)

    def _next(self) -> None:
        if self._waiting and not self._held:
            self._waiting.popleft()()


class MemoryHub:
    """The store and the channels that nodes share. Everything goes its way when the scheduler settles.

    Each word is a batch of its own. `sent` has every word that a node sent, lost or not: from, to, word.
    """

    def __init__(self, scheduler: Scheduler) -> None:
        self.scheduler = scheduler
        self.shares: dict[UserId, dict[NodeId, Share]] = {}
        self.sent: list[tuple[NodeId, NodeId, Word]] = []
        self.nodes: dict[NodeId, MemoryCluster] = {}

    def join(
        self,
        node_id: NodeId,
        *,
        hear: Callable[[NodeId, Word], object] = _ignore,
        missed: Callable[[NodeId | None], object] = _ignore,
        gone: Callable[[NodeId], object] = _ignore,
        anew: Callable[[], object] = _ignore,
    ) -> "MemoryCluster":
        """Start a node; its id is one that no node had before. The callbacks are those of the real adapter."""
        assert node_id not in self.nodes, "node ids are new at every start"
        node = self.nodes[node_id] = MemoryCluster(self, node_id)
        node.hear, node.missed, node.gone, node.anew = hear, missed, gone, anew
        return node

    def lose(self, to: NodeId, count: int = 1, *, sender: NodeId | None = None) -> None:
        """The next `count` words to a node are lost, of one sender or of all; it notices at the next or at a pulse."""
        self.nodes[to].to_lose[sender] = count

    def pulse(self) -> None:
        """Every node says how far it has come, as it does a second after its last word."""
        for node in self.nodes.values():
            if node.connected:
                for to, other in self.nodes.items():
                    if seq := node.said.get(to):
                        other.words.put(partial(other.hear_pulse, node, seq))

    def hold_words(self, to: NodeId) -> None:
        """Words to this node are under way until `release_words`."""
        self.nodes[to].words.hold()

    def release_words(self, to: NodeId) -> None:
        self.nodes[to].words.release()

    def hold_answers(self, node_id: NodeId) -> None:
        """What a node enters is done in the store, but the answers are under way until `release_answers`."""
        self.nodes[node_id].answers.hold()

    def release_answers(self, node_id: NodeId) -> None:
        self.nodes[node_id].answers.release()

    def away(self, node_id: NodeId) -> None:
        """Cut a node off from the store: entering is answered None, words from and to it are lost."""
        self.nodes[node_id].connected = False

    def back(self, node_id: NodeId) -> None:
        """Let a node that was cut off back; it beats before it enters anything anew."""
        node = self.nodes[node_id]
        node.connected = node.live = True
        self.scheduler.call_soon(node.missed, None)
        self.scheduler.call_soon(node.anew)

    def expire(self, node_id: NodeId) -> None:
        """The lease of a node runs out; it may be alive all the same, cut off (`away`) or stopped."""
        self.nodes[node_id].live = False
        self._forget(node_id)
        for other in self.nodes.values():
            if other.node_id != node_id and other.live and other.connected:
                self.scheduler.call_soon(other.tell_gone, node_id)

    def find_expired(self, node_id: NodeId) -> None:
        """A node whose lease had run out, though it is alive, finds out."""
        node = self.nodes[node_id]
        node.live = True
        self.scheduler.call_soon(node.anew)

    def kill(self, node_id: NodeId, *, unnoticed: bool = False) -> None:
        """A node dies, and its lease runs out; unless `unnoticed`, then with `expire`."""
        node = self.nodes[node_id]
        node.connected = False
        node.hear = node.missed = node.gone = node.anew = _ignore
        node.dead = True
        if not unnoticed:
            self.expire(node_id)

    def lose_everything(self) -> None:
        """As FLUSHALL: every node finds its lease missing."""
        self.shares.clear()
        for node in self.nodes.values():
            if node.connected:
                self.scheduler.call_soon(node.anew)

    def enter(self, node: "MemoryCluster", user_id: UserId, share: Share | None) -> dict[NodeId, Share] | None:
        """Do in one step what `Cluster.enter` says."""
        if not node.connected:
            return None
        shares = self.shares.setdefault(user_id, {})
        if share is not None:
            shares.pop(node.node_id, None)
            if not share.empty:
                shares[node.node_id] = share
        return {other: held for other, held in shares.items() if other != node.node_id and self.nodes[other].live}

    def _forget(self, node_id: NodeId) -> None:
        for shares in self.shares.values():
            shares.pop(node_id, None)


class MemoryCluster:
    """One node's `actors.ports.Cluster`; made by `MemoryHub.join`."""

    def __init__(self, hub: MemoryHub, node_id: NodeId) -> None:
        self.hub = hub
        self.node_id = node_id
        self.hear: Callable[[NodeId, Word], object] = _ignore
        self.missed: Callable[[NodeId | None], object] = _ignore
        self.gone: Callable[[NodeId], object] = _ignore
        self.anew: Callable[[], object] = _ignore
        self.connected = True
        self.live = True
        self.dead = False
        self.said: dict[NodeId, int] = {}
        self.heard: dict[NodeId, int] = {}
        self.to_lose: dict[NodeId | None, int] = {}
        self.words = Line(hub.scheduler)
        self.answers = Line(hub.scheduler)

    def enter(self, user_id: UserId, share: Share | None, answer: Answer) -> None:
        def done() -> None:
            reading = self.hub.enter(self, user_id, share)
            self.answers.put(lambda: None if self.dead else answer(reading))

        self.hub.scheduler.call_soon(done)

    def send(self, node_id: NodeId, word: Word) -> None:
        self.hub.sent.append((self.node_id, node_id, word))
        seq = self.said[node_id] = self.said.get(node_id, 0) + 1
        other = self.hub.nodes.get(node_id)
        if self.connected and other is not None and not other.loses(self.node_id):
            other.words.put(lambda: other.hear_word(self, seq, word))

    def loses(self, sender: NodeId) -> bool:
        """Whether the next word of `sender` to this node is one to lose."""
        for key in (sender, None):
            if self.to_lose.get(key, 0):
                self.to_lose[key] -= 1
                return True
        return False

    def hear_word(self, sender: "MemoryCluster", seq: int, word: Word) -> None:
        if self.connected:
            self._count(sender, seq, seq - 1)
            self.hear(sender.node_id, word)

    def hear_pulse(self, sender: "MemoryCluster", seq: int) -> None:
        if self.connected:
            self._count(sender, seq, seq)

    def tell_gone(self, node_id: NodeId) -> None:
        if self.connected:
            self.heard.pop(node_id, None)
            self.gone(node_id)

    def _count(self, sender: "MemoryCluster", seq: int, expected: int) -> None:
        if self.heard.get(sender.node_id, 0) != expected:
            self.missed(sender.node_id)
        self.heard[sender.node_id] = seq
        if not sender.live:  # A word that was long under way makes a gone node known again, until the next look.
            self.hub.scheduler.call_soon(self.tell_gone, sender.node_id)
