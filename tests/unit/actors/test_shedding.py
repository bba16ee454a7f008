"""What a slow reader loses first, what it never loses, and how it is told (ADR 0010)."""

from collections.abc import Callable
from itertools import count

import pytest

from actors.ids import DesktopId
from actors.inbox import Offer
from actors.messages import Label
from actors.offsets import Offset
from actors.shedding import SheddingInbox

LAPTOP, TOWER = DesktopId("laptop"), DesktopId("tower")
EPOCH = 7


def gap(desktop_id: DesktopId, offset: Offset) -> bytes:
    return f"[{desktop_id} lost something behind {offset}]".encode()


class Phone:
    """An inbox of 32 frames, and what desktops said into it: frames that show their type and offset."""

    def __init__(self, max_frames: int = 32, max_bytes: int = 1_000_000) -> None:
        self.labels: dict[bytes, Label] = {}
        self.read: list[bytes] = []
        self.wakes = 0
        self.overflows: list[Callable[[], object]] = []
        self.overflowed = 0
        self.clock = count(1)
        self.inbox = SheddingInbox(max_frames, max_bytes, self._wake, self._overflow, label=self._read_label, gap=gap)

    def say(self, kind: str, seq: int, desktop: DesktopId = LAPTOP, *, size: int = 0, epoch: int = EPOCH) -> bytes:
        """A desktop says something; returns the frame."""
        frame = f"{desktop} {kind} {epoch}-{seq} ".encode().ljust(size, b".")
        self.labels[frame] = Label(kind, desktop, Offset(epoch, seq))
        assert self.offer(frame) is Offer.ACCEPTED
        return frame

    def stream(self, *seqs: int, desktop: DesktopId = LAPTOP, size: int = 0) -> list[bytes]:
        return [self.say("agent:stream", seq, desktop, size=size) for seq in seqs]

    def respond(self, *seqs: int, desktop: DesktopId = LAPTOP, size: int = 0) -> list[bytes]:
        return [self.say("agent:response", seq, desktop, size=size) for seq in seqs]

    def notify(self, name: str, label: Label | None = None) -> bytes:
        """The hub says something of its own."""
        frame = name.encode()
        self.labels[frame] = label or Label(name.split(maxsplit=1)[0], None, None)
        assert self.offer(frame) is Offer.ACCEPTED
        return frame

    def offer(self, frame: bytes) -> Offer:
        return self.inbox.offer(frame, float(next(self.clock)))

    def _read_label(self, frame: bytes) -> Label:
        self.read.append(frame)
        return self.labels[frame]

    def _wake(self) -> None:
        self.wakes += 1

    def _overflow(self) -> None:
        self.overflowed += 1
        for act in self.overflows:
            act()


# -- the marks -----------------------------------------------------------------------------------------------------


def test_up_to_the_first_mark_nothing_is_left_out_and_no_label_is_read() -> None:
    phone = Phone()
    said = phone.stream(*range(1, 17))
    assert not phone.inbox.shedding
    assert phone.inbox.take_all() == said
    assert phone.read == []


def test_past_half_of_the_frames_it_sheds_down_to_a_quarter() -> None:
    phone = Phone()
    said = phone.stream(*range(1, 18))
    assert phone.inbox.shedding
    assert phone.inbox.shed == 9, "16 waited; 7 of them and the notice are a quarter"
    assert phone.inbox.take_all() == [gap(LAPTOP, Offset(EPOCH, 0)), *said[9:]]


def test_past_half_of_the_bytes_it_sheds_down_to_a_quarter() -> None:
    phone = Phone(max_frames=100, max_bytes=4000)
    said = phone.stream(*range(1, 22), size=100)
    assert phone.inbox.shed == 11, "20 waited; 9 of them and the notice are a quarter"
    notice = gap(LAPTOP, Offset(EPOCH, 0))
    assert phone.inbox.pending_bytes == len(notice) + 1000
    assert phone.inbox.take_all() == [notice, *said[11:]]


def test_what_needs_not_go_is_not_even_looked_at() -> None:
    phone = Phone()
    said = phone.stream(*range(1, 18))
    assert phone.read == said[:9]


def test_past_the_last_mark_an_offer_is_refused_and_nothing_more_is_lost() -> None:
    phone = Phone()
    said = phone.respond(*range(1, 33))
    assert phone.offer(b"one more") is Offer.FULL
    assert phone.overflowed == 1
    assert phone.inbox.take_all() == said


@pytest.mark.parametrize("waiting", [0, 1, 19])
def test_a_frame_of_half_the_bytes_fits_whatever_waited_below_the_first_mark(waiting: int) -> None:
    phone = Phone(max_bytes=4000)
    phone.respond(*range(1, waiting + 1), size=100)
    phone.respond(waiting + 1, size=2000)
    assert len(phone.inbox) == waiting + 1


def test_the_frames_bound_may_be_reached_while_the_bytes_shed() -> None:
    phone = Phone(max_frames=8, max_bytes=4000)
    phone.respond(*range(1, 8))
    phone.stream(8)
    phone.overflows.append(phone.inbox.close)
    assert phone.offer(b"x" * 3000) is Offer.FULL
    assert phone.offer(b"x") is Offer.CLOSED


# -- what goes first, and what stays -----------------------------------------------------------------------------


def test_pieces_go_before_statuses() -> None:
    phone = Phone()
    old, new = phone.say("agent:status", 1), phone.say("agent:status", 2)
    said = phone.stream(*range(3, 18))
    assert phone.inbox.take_all() == [old, new, gap(LAPTOP, Offset(EPOCH, 2)), *said[-6:]]


def test_then_statuses_go_that_a_newer_one_of_the_same_desktop_replaces() -> None:
    phone = Phone()
    phone.say("agent:status", 1)
    tower = phone.say("agent:status", 1, TOWER)
    answers = phone.respond(*range(2, 16))
    newest = phone.say("agent:status", 16)
    assert phone.inbox.shed == 0, "the newest was not in the inbox yet when it shed"
    rest = phone.respond(*range(17, 22))
    assert phone.inbox.shed == 1
    assert phone.inbox.take_all() == [gap(LAPTOP, Offset(EPOCH, 0)), tower, *answers, newest, *rest]


def test_only_so_many_statuses_go_as_have_to() -> None:
    phone = Phone()
    said = [phone.say("agent:status", seq) for seq in range(1, 18)]
    assert phone.inbox.take_all() == [gap(LAPTOP, Offset(EPOCH, 0)), *said[9:]]


def test_everything_else_stays() -> None:
    phone = Phone()
    said = [
        phone.notify("error"),
        *phone.respond(1, 2, 3),
        phone.notify("desktop:online", Label("desktop:online", None, Offset(EPOCH, 3))),
        phone.notify("resumed"),
        phone.notify("a piece without its place", Label("agent:stream", LAPTOP, None)),
        phone.notify("a piece of nobody", Label("agent:stream", None, Offset(EPOCH, 4))),
        phone.notify("a text that nobody understands", Label("", None, None)),
        phone.notify("another", Label("", LAPTOP, Offset(EPOCH, 4))),
        phone.say("agent:status", 5),
        phone.say("agent:status", 5, TOWER),
        *phone.respond(*range(6, 20)),
    ]
    assert phone.inbox.shedding
    assert phone.inbox.shed == 0
    assert phone.inbox.take_all() == said


# -- what it costs ----------------------------------------------------------------------------------------------


def test_what_could_not_reach_a_quarter_is_shed_again_when_an_eighth_was_added() -> None:
    phone = Phone()
    phone.respond(*range(1, 17))
    shed_by = []
    for seq in range(17, 37):
        phone.stream(seq)
        shed_by.append(phone.inbox.shed)
    assert shed_by == [0] * 5 + [5] * 5 + [10] * 5 + [15] * 5, "the fifth is the one past an eighth of 32"


def test_no_frame_is_looked_at_twice() -> None:
    phone = Phone(max_frames=400, max_bytes=8000)
    phone.respond(*range(1, 101))
    for seq in range(101, 1000):
        phone.stream(seq, size=700)
    assert phone.inbox.shed > 800
    assert len(phone.read) == len(set(phone.read))


def test_a_full_inbox_does_not_look_for_room_again_and_again() -> None:
    phone = Phone(max_frames=64)
    phone.respond(*range(1, 60))
    phone.stream(*range(60, 65))
    read = len(phone.read)
    assert [phone.offer(b"more") for _ in range(10)] == [Offer.FULL] * 10
    assert len(phone.read) == read


# -- what the reader is told -------------------------------------------------------------------------------------


def test_each_desktops_notice_stands_where_its_first_loss_was() -> None:
    phone = Phone()
    first = phone.respond(1)
    phone.stream(2, 3)
    phone.stream(4, desktop=TOWER)
    answer = phone.respond(4)
    phone.stream(5, 6, 7)
    rest = phone.respond(*range(8, 17))
    notices = [gap(LAPTOP, Offset(EPOCH, 1)), gap(TOWER, Offset(EPOCH, 3))]
    assert phone.inbox.take_all() == [*first, *notices, *answer, *rest]


def test_a_notice_names_what_was_read_before_the_gap() -> None:
    phone = Phone()
    answer = phone.respond(40)
    phone.stream(42)
    rest = phone.respond(*range(43, 58), desktop=TOWER)
    assert phone.inbox.take_all() == [*answer, gap(LAPTOP, Offset(EPOCH, 40)), *rest]


def test_if_nothing_of_the_desktop_is_before_it_the_offset_before_what_was_lost() -> None:
    phone = Phone()
    answers = phone.respond(1, desktop=TOWER)
    phone.stream(42)
    rest = phone.respond(*range(2, 17), desktop=TOWER)
    assert phone.inbox.take_all() == [*answers, gap(LAPTOP, Offset(EPOCH, 41)), *rest]


def test_a_desktop_is_told_of_once_while_it_sheds() -> None:
    phone = Phone()
    phone.stream(*range(1, 18))
    assert phone.inbox.take_all()[0] == gap(LAPTOP, Offset(EPOCH, 0))
    said = phone.stream(*range(18, 35))
    assert phone.inbox.shed == 9 + 8, "there is no notice to make room for"
    assert phone.inbox.take_all() == said[8:]


def test_a_notice_that_waits_moves_to_what_is_lost_before_it() -> None:
    phone = Phone()
    old = phone.say("agent:status", 1)
    phone.stream(2)
    answers = phone.respond(*range(3, 18))
    newest = phone.say("agent:status", 18)
    assert phone.inbox._frames == [old, gap(LAPTOP, Offset(EPOCH, 1)), *answers, newest]
    rest = phone.respond(*range(19, 23))
    assert phone.inbox.take_all() == [gap(LAPTOP, Offset(EPOCH, 0)), *answers, newest, *rest]
    assert phone.inbox.take_all() == [gap(LAPTOP, Offset(EPOCH, 0))]


def test_when_the_reader_has_caught_up_it_is_told_once_more_from_where_to_ask_again() -> None:
    phone = Phone()
    phone.respond(1)
    phone.stream(2)
    phone.stream(5, desktop=TOWER)
    phone.respond(*range(3, 17))
    phone.inbox.take_all()
    last = phone.respond(17, 18, 19)
    end = [gap(LAPTOP, Offset(EPOCH, 1)), gap(TOWER, Offset(EPOCH, 4))]
    assert phone.inbox.take_all() == [*last, *end]
    assert not phone.inbox.shedding
    assert phone.inbox.take_all() == []


def test_a_reader_at_the_edge_is_not_told_again_and_again() -> None:
    phone = Phone()
    phone.stream(*range(1, 18))
    phone.inbox.take_all()
    for start in range(18, 60, 4):
        said = phone.stream(*range(start, start + 4))
        assert phone.inbox.take_all() == said, "an eighth is not below an eighth"
        assert phone.inbox.shedding


def test_many_bytes_are_no_catching_up_either() -> None:
    phone = Phone(max_bytes=8000)
    phone.stream(*range(1, 18))
    phone.inbox.take_all()
    large = phone.stream(18, size=1000)
    assert phone.inbox.take_all() == large
    assert phone.inbox.shedding


def test_after_its_end_everything_is_as_at_the_start() -> None:
    phone = Phone()
    for start in (1, 101):
        said = phone.stream(*range(start, start + 17))
        assert phone.inbox.take_all() == [gap(LAPTOP, Offset(EPOCH, start - 1)), *said[9:]]
        assert phone.inbox.take_all() == [gap(LAPTOP, Offset(EPOCH, start - 1))]


def test_a_notice_counts_like_any_frame() -> None:
    phone = Phone(max_frames=100, max_bytes=4000)
    phone.stream(*range(1, 60), size=90)
    frames = phone.inbox._frames
    assert gap(LAPTOP, Offset(EPOCH, 0)) in frames
    assert phone.inbox.pending_bytes == sum(map(len, frames))


def test_nothing_is_left_out_for_notices_that_would_not_fit() -> None:
    phone = Phone(max_bytes=400)
    for name in "abcdefghijklmnop":
        desktop = DesktopId(name)
        frame = name.encode() * 13
        phone.labels[frame] = Label("agent:stream", desktop, Offset(EPOCH, 1))
        assert phone.offer(frame) is Offer.ACCEPTED
    assert phone.inbox.shedding
    assert phone.inbox.shed == 0
    assert phone.inbox.pending_bytes == 16 * 13


def test_no_more_desktops_are_remembered_than_the_first_mark_has_frames() -> None:
    phone = Phone()
    desktops = [DesktopId(f"d{n}") for n in range(40)]
    for desktop in desktops[:17]:
        phone.stream(5, desktop=desktop)
    phone.inbox.take_all()
    said = [phone.stream(5, desktop=desktop)[0] for desktop in desktops[17:34]]
    assert phone.inbox.shed == 16
    assert phone.inbox.take_all() == said
    end = phone.inbox.take_all()
    assert end == [gap(desktop, Offset(EPOCH, 4)) for desktop in desktops[:16]]


# -- as any inbox ---------------------------------------------------------------------------------------------------


def test_the_owner_is_woken_once_a_batch_even_by_a_frame_past_the_first_mark() -> None:
    phone = Phone(max_bytes=4000)
    phone.respond(1, size=3000)
    phone.stream(2)
    assert phone.wakes == 1


def test_the_time_is_that_of_the_oldest_frame_or_of_what_was_left_out_before_it() -> None:
    phone = Phone()
    phone.stream(*range(1, 18))
    assert phone.inbox.waiting_since == 1.0
    phone.inbox.take_all()
    phone.stream(18)
    assert phone.inbox.waiting_since == 18.0


def test_a_frame_that_finds_all_others_left_out_begins_a_new_batch() -> None:
    phone = Phone(max_bytes=4000)
    phone.stream(*range(1, 18))
    phone.stream(18, size=1500)
    phone.inbox.take_all()
    phone.stream(19, size=1500)
    last = phone.stream(20, size=1500)
    assert phone.inbox.waiting_since == 20.0
    assert phone.inbox.take_all() == last


@pytest.mark.parametrize("seqs", [3, 17])
def test_a_closed_inbox_takes_nothing_shedding_or_not(seqs: int) -> None:
    phone = Phone()
    phone.stream(*range(1, seqs + 1))
    assert phone.inbox.close()
    assert phone.inbox.take_all() == []
    assert phone.offer(b"x") is Offer.CLOSED
    assert phone.offer(b"") is Offer.CLOSED
    assert not phone.inbox.shedding
    assert phone.overflowed == 0
