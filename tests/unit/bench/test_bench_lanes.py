"""What has to come of a phone's message to a desktop."""

import re
from collections.abc import Callable

import pytest

from tests.bench.frames import envelope, mail_to
from tests.bench.lanes import MailLane, MessagesLostError
from tests.bench.links import Link, LinkLostError

ARRIVED = envelope("user:message", {"desktop_id": "d1"})


class ScriptedLink(Link):
    """A link without a network: keeps what is sent, and gets what the test puts in."""

    def __init__(self, name: str) -> None:
        super().__init__(name)
        self.socket.close()
        self.sent = b""
        self.incoming: list[bytes] = []
        self.send = self._keep

    def messages(self) -> list[bytes]:
        taken, self.incoming = self.incoming, []
        return taken

    def _keep(self, frames: bytes) -> int:
        self.sent += frames
        return len(frames)


def receipt(status: str) -> bytes:
    return envelope("receipt", {"message_id": "T#1", "desktop_id": "d1", "status": status})


class Scene:
    """One lane, and both its ends."""

    def __init__(self) -> None:
        self.desktop, self.mobile = ScriptedLink("desktop"), ScriptedLink("mobile")
        self.lane = MailLane(self.desktop, self.mobile, mail_to("d1"))

    @property
    def names(self) -> list[int]:
        return [int(digits) for digits in re.findall(rb'"message_id":"T#([0-9]{20})"', self.mobile.sent)]

    def arrive(self, count: int = 1) -> int:
        self.desktop.incoming += [ARRIVED] * count
        return len(self.lane.hear_desktop())

    def tell(self, *messages: bytes) -> None:
        self.mobile.incoming += messages
        assert self.lane.hear_mobile() == []


@pytest.fixture
def scene() -> Scene:
    return Scene()


def test_a_message_is_through_when_it_and_both_receipts_have_come(scene: Scene) -> None:
    scene.lane.post_at(5)
    assert scene.arrive() == 1
    assert scene.lane.in_flight == 1
    scene.tell(receipt("stored"))
    assert scene.lane.in_flight == 1
    scene.tell(receipt("delivered"))
    assert scene.lane.in_flight == 0


def test_delivered_makes_room_for_the_next_message_and_nothing_else_does(scene: Scene) -> None:
    scene.lane.top_up(8)
    scene.arrive(8)
    scene.tell(*[receipt("stored")] * 8)
    scene.lane.top_up(8)
    assert len(scene.names) == 8
    scene.tell(*[receipt("delivered")] * 3)
    scene.lane.top_up(8)
    assert len(scene.names) == 11


def test_no_two_messages_have_the_same_name(scene: Scene) -> None:
    far_ahead = 10**19
    scene.lane.top_up(8)
    scene.lane.post_at(far_ahead)
    scene.lane.top_up(16)
    assert len(scene.names) == 16
    assert scene.names == sorted(set(scene.names))


@pytest.mark.parametrize(
    "once_more",
    [
        Scene.arrive,
        lambda scene: scene.tell(receipt("stored")),
        lambda scene: scene.tell(receipt("delivered")),
    ],
)
def test_what_comes_twice_is_noticed(scene: Scene, once_more: Callable[[Scene], object]) -> None:
    scene.lane.post_at(5)
    scene.arrive()
    scene.tell(receipt("stored"), receipt("delivered"))
    with pytest.raises(MessagesLostError, match="more than was sent"):
        once_more(scene)


@pytest.mark.parametrize("status", ["duplicate", "expired", "acknowledged"])
def test_any_other_receipt_ends_the_run(scene: Scene, status: str) -> None:
    scene.lane.post_at(5)
    with pytest.raises(MessagesLostError, match="neither stored nor delivered"):
        scene.tell(receipt(status))


def test_notices_are_no_receipts_and_errors_end_the_run(scene: Scene) -> None:
    scene.lane.post_at(5)
    scene.tell(envelope("desktop:online", {"desktop_id": "d1"}, offset="7-0"))
    assert scene.lane.in_flight == 1
    with pytest.raises(LinkLostError, match="queue_full"):
        scene.tell(envelope("error", {"code": "queue_full"}))
