"""What another service sends to a desktop, and what it is told (docs/protocol.md, "Messages over HTTP")."""

import pytest

from actors.ids import DesktopId, UserId, is_id
from actors.mail import SERVICE, Receipt, Sender, Status
from actors.messages import ErrorCode, Fault
from actors.policy import Policy
from actors.post import PostOffice
from hub.mail.limits import MailLimits
from tests.support.actors import WALL_S, PlainEnvelope
from tests.support.memory_mailroom import MemoryMailroom
from tests.support.peers import Peer, World

OFF = Policy(mailbox=False)


class Service:
    """Sends to d1 of u1, and remembers every answer."""

    def __init__(self, world: World) -> None:
        self.world = world
        self.answers: list[Receipt | Fault] = []

    def send(self, name: str, text: str = "", **members: object) -> None:
        payload = {"desktop_id": "d1", "text": text}
        whole = {"type": "user:message", "timestamp": 1, "message_id": name, "payload": payload, **members}
        envelope = PlainEnvelope("user:message", 1, whole)
        self.world.post.send_for_service(UserId("u1"), DesktopId("d1"), envelope, self._take)
        self.world.scheduler.settle()

    def _take(self, answer: Receipt | Fault) -> None:
        self.answers.append(answer)

    def told(self) -> list[tuple[str | None, str]]:
        """What came since the last look."""
        told, self.answers = self.answers, []
        return [(each.message_id, each.code.value if isinstance(each, Fault) else each.status.value) for each in told]


def mail(desktop: Peer) -> list[str]:
    return [message["message_id"] for message in desktop.heard() if message["type"] == "user:message"]


def test_no_token_can_name_what_stands_for_a_service() -> None:
    assert not is_id(SERVICE)


def test_the_first_that_becomes_known_is_the_answer_and_the_only_one() -> None:
    world = World()
    desktop, service = world.desktop(), Service(world)
    service.send("a")
    [message] = desktop.heard()
    assert (message["user_id"], message["device_id"]) == ("u1", None)
    assert service.answers == [Receipt("a", DesktopId("d1"), Status.STORED)]
    assert world.tallies.receipts == {"stored": 1}


def test_asking_again_tells_what_became_of_it() -> None:
    world = World()
    world.phone()
    world.desktop().hang_up()
    service = Service(world)
    service.send("a")
    assert service.told() == [("a", "stored")]
    service.send("a")
    assert service.answers.pop() == Receipt("a", DesktopId("d1"), Status.DUPLICATE, Status.STORED)
    desktop = world.desktop_peer()
    desktop.open()
    assert mail(desktop) == ["a"]
    service.send("a")
    assert service.answers.pop() == Receipt("a", DesktopId("d1"), Status.DUPLICATE, Status.DELIVERED)
    assert mail(desktop) == []


def test_one_name_for_a_phone_and_a_service() -> None:
    world = World()
    world.desktop()
    phone, service = world.phone(), Service(world)
    phone.say("user:message", {"desktop_id": "d1", "text": ""}, message_id="a")
    service.send("a")
    assert service.told() == [("a", "duplicate")]
    service.send("a", "something else")
    assert service.told() == [("a", "bad_payload")]


@pytest.mark.parametrize("acks", [False, True])
def test_no_phone_is_told_of_it_and_nothing_is_kept_for_one(acks: bool) -> None:
    world = World()
    phones = world.phone(), world.phone(device="one")
    desktop, service = world.desktop(acks=acks), Service(world)
    service.send("a")
    if acks:
        desktop.say("ack", {"message_id": "a"})
    desktop.hang_up()
    service.send("old", valid_until=WALL_S * 1000 + 1000)
    world.advance(2)
    world.mailroom.sweep()
    world.scheduler.settle()
    assert not [message for phone in phones for message in phone.heard() if message["type"] == "Receipt"]
    service.send("old")
    assert service.answers.pop() == Receipt("old", DesktopId("d1"), Status.DUPLICATE, Status.EXPIRED)
    for sender in (Sender(UserId("u1"), None), Sender(UserId("u1"), SERVICE)):
        kept: list[object] = []
        world.mailroom.kept(sender, kept.append)
        world.scheduler.settle()
        assert kept == [[]]


def test_a_message_whose_time_is_over_is_expired() -> None:
    world = World()
    world.desktop()
    service = Service(world)
    service.send("old", valid_until=WALL_S * 1000 - 1)
    assert service.told() == [("old", "expired")]


def test_a_full_mailbox_refuses() -> None:
    world = World()
    world.phone()
    world.desktop().hang_up()
    world.mailroom = MemoryMailroom(world.clock, world.scheduler, MailLimits(messages=1))
    world.post = PostOffice(world.around, world.supervisor, world.mailroom)
    service = Service(world)
    service.send("a")
    service.send("b")
    assert service.told() == [("a", "stored"), ("b", "queue_full")]
    assert world.tallies.outcomes == {("user:message", ErrorCode.QUEUE_FULL): 1}


@pytest.mark.parametrize(("policy", "absent"), [(OFF, ErrorCode.DESKTOP_OFFLINE), (Policy(), ErrorCode.UNAVAILABLE)])
def test_without_the_mailroom_a_desktop_that_is_here_gets_it_directly(policy: Policy, absent: ErrorCode) -> None:
    world = World(policy)
    world.mailroom.away = policy.mailbox
    world.phone()
    desktop, service = world.desktop(), Service(world)
    service.send("a")
    assert mail(desktop) == ["a"]
    assert service.told() == [("a", "delivered")]
    desktop.hang_up()
    service.send("b")
    assert service.told() == [("b", absent.value)]


def test_without_the_mailroom_it_is_delivered_when_it_is_written_and_else_unavailable() -> None:
    world = World(OFF)
    desktop, service = world.desktop(), Service(world)
    desktop.socket.writable = False
    service.send("a")
    assert service.told() == []
    desktop.lose_link()
    assert service.told() == [("a", "unavailable")]
