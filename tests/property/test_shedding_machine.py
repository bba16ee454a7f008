"""A phone's inbox against a list: whatever is said and read, nothing durable is lost and every loss is told."""

from collections import Counter
from dataclasses import dataclass, field

from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, precondition, rule

from actors.ids import DesktopId
from actors.inbox import Offer
from actors.messages import Label
from actors.offsets import Offset
from actors.shedding import SheddingInbox

STREAM, STATUS = "agent:stream", "agent:status"
GAP_BYTES = 30
desktops = st.sampled_from([DesktopId(name) for name in ("laptop", "tower", "pi")])
kinds = st.sampled_from([STREAM, STREAM, STREAM, STATUS, STATUS, "agent:response", "error", ""])
sizes = st.one_of(st.integers(0, 20), st.integers(0, 300))


def gap(desktop_id: DesktopId, offset: Offset) -> bytes:
    return f"gap {desktop_id} {offset}".encode().ljust(GAP_BYTES)


@dataclass
class Bout:
    """One time of shedding: from where each desktop is missing something, whose notice is out, and what was read."""

    gaps: dict[DesktopId, Offset] = field(default_factory=dict)
    told: set[DesktopId] = field(default_factory=set)
    read: list[bytes] = field(default_factory=list)


class SheddingMachine(RuleBasedStateMachine):
    """The model keeps what was accepted since the last taking. What is left of it says where notices have to be."""

    @initialize(max_frames=st.sampled_from([8, 16, 50]), max_bytes=st.sampled_from([300, 1000, 5000]))
    def begin(self, max_frames: int, max_bytes: int) -> None:
        self.max_frames, self.max_bytes = max_frames, max_bytes
        self.woken, self.overflows, self.offered = False, 0, 0
        self.said: Counter[DesktopId] = Counter()
        self.epochs: Counter[DesktopId] = Counter()
        self.labels: dict[bytes, Label] = {}
        self.looked_at: Counter[bytes] = Counter()
        self.accepted: list[bytes] = []
        self.lost: set[bytes] = set()
        self.bout = Bout()
        self.inbox = SheddingInbox(max_frames, max_bytes, self._wake, self._overflow, label=self._look, gap=gap)

    def _wake(self) -> None:
        assert not self.inbox
        self.woken = True

    def _overflow(self) -> None:
        self.overflows += 1

    def _look(self, frame: bytes) -> Label:
        self.looked_at[frame] += 1
        return self.labels[frame]

    # -- what happens ------------------------------------------------------------------------------------------------

    @rule(kind=kinds, desktop=desktops, size=sizes, times=st.integers(1, 12), step=st.integers(1, 3))
    def desktop_speaks(self, kind: str, desktop: DesktopId, size: int, times: int, step: int) -> None:
        for _ in range(times):
            self.said[desktop] += step
            offset = Offset(self.epochs[desktop], self.said[desktop])
            label = Label(kind, None, None) if kind == "error" else Label(kind, desktop, offset)
            self.offered += 1
            frame = f"{self.offered} {kind} ".encode().ljust(size, b".")
            self.labels[frame] = label
            self.offer(frame)

    @rule(desktop=desktops)
    def desktop_comes_back(self, desktop: DesktopId) -> None:
        self.epochs[desktop] += 1
        self.said[desktop] = 0

    @precondition(lambda self: self.inbox)
    @rule()
    def phone_reads(self) -> None:
        bout, waiting, was = self.bout, self.expected(), self.inbox.shedding
        caught_up = len(waiting) < self.max_frames / 8 and self.inbox.pending_bytes < self.max_bytes / 8
        taken = self.inbox.take_all()
        bout.told |= bout.gaps.keys()
        bout.read += taken
        assert taken[: len(waiting)] == waiting
        assert self.inbox.shedding is (was and not caught_up)
        end = [gap(desktop, offset) for desktop, offset in bout.gaps.items()] if caught_up else []
        assert Counter(taken[len(waiting) :]) == Counter(end)
        times = 2 if caught_up else 1
        assert all(bout.read.count(gap(desktop, offset)) == times for desktop, offset in bout.gaps.items())
        self.bout = Bout() if caught_up else bout
        self.accepted, self.lost, self.woken = [], set(), False

    # -- what an offer does --------------------------------------------------------------------------------------------

    def offer(self, frame: bytes) -> None:
        inbox = self.inbox
        waited, size, shed = list(inbox._frames), inbox.pending_bytes, inbox.shed
        was, overflows = inbox.shedding, self.overflows
        answer = inbox.offer(frame, 0.0)
        self.lost |= set(self.accepted) - set(inbox._frames)
        past_first = 2 * (size + len(frame)) > self.max_bytes or len(waited) >= self.max_frames // 2
        assert inbox.shedding is (was or past_first)
        assert inbox.shed == shed or past_first
        assert (answer is Offer.FULL) is (self.overflows > overflows)
        if answer is Offer.FULL:
            assert inbox.pending_bytes + len(frame) > self.max_bytes or len(inbox) == self.max_frames
            assert frame not in inbox._frames
        else:
            assert answer is Offer.ACCEPTED
            assert inbox._frames[-1] == frame
        if inbox.shed > shed:
            gone = [other for other in waited if other in self.labels and other not in inbox._frames]
            assert inbox.shed - shed == len(gone)
            self.the_right_ones_went(waited, set(gone))
            self.as_many_went_as_had_to(waited, gone, [other for other in inbox._frames if other != frame])
        self.note_gaps()
        if answer is Offer.ACCEPTED:
            self.accepted.append(frame)

    def the_right_ones_went(self, waited: list[bytes], gone: set[bytes]) -> None:
        """The oldest pieces first; statuses only when there are no pieces left, and those that are replaced."""
        mine = [frame for frame in waited if frame in self.labels]
        pieces = [frame in gone for frame in mine if self.labels[frame].type == STREAM]
        assert pieces == sorted(pieces, reverse=True)
        statuses = [frame for frame in mine if self.labels[frame].type == STATUS]
        newest = {self.labels[frame].desktop_id: frame for frame in statuses}
        replaced = [frame in gone for frame in statuses if frame not in newest.values()]
        assert replaced == sorted(replaced, reverse=True)
        assert all(pieces) or not any(replaced)
        assert not gone & set(newest.values())
        assert len(gone) == sum(pieces) + sum(replaced)

    def as_many_went_as_had_to(self, waited: list[bytes], gone: list[bytes], left: list[bytes]) -> None:
        """Down to a quarter or until nothing more may go, and the last that went was still too much."""
        labels = [self.labels[frame] for frame in left if frame in self.labels]
        statuses = Counter(label.desktop_id for label in labels if label.type == STATUS)
        if any(label.type == STREAM for label in labels) or max(statuses.values(), default=0) > 1:
            assert self.at_a_quarter(len(left), sum(map(len, left)))
        last = max(gone, key=lambda frame: (self.labels[frame].type == STATUS, waited.index(frame)))
        desktop = self.labels[last].desktop_id
        its_first = desktop not in self.bout.gaps and [self.labels[f].desktop_id for f in gone].count(desktop) == 1
        frames, size = len(left) + 1 - its_first, sum(map(len, left)) + len(last) - GAP_BYTES * its_first
        assert not self.at_a_quarter(frames, size)

    def at_a_quarter(self, frames: int, size: int) -> bool:
        return frames <= self.max_frames / 4 and size <= self.max_bytes / 4

    def note_gaps(self) -> None:
        """Where a loss came before what was known of its desktop so far, the gap begins there."""
        reached: dict[DesktopId, Offset] = {}
        found: dict[DesktopId, Offset] = {}
        for frame in self.accepted:
            label = self.labels[frame]
            if label.desktop_id is None or label.offset is None:
                continue
            if frame in self.lost:
                before = Offset(label.offset.epoch, label.offset.seq - 1)
                found.setdefault(label.desktop_id, reached.get(label.desktop_id, before))
            else:
                reached[label.desktop_id] = label.offset
        self.bout.gaps |= {desktop: at for desktop, at in found.items() if desktop not in self.bout.told}

    def expected(self) -> list[bytes]:
        """What has to be in the inbox: all that was accepted, but for the lost, with notices where they begin."""
        left: list[bytes] = []
        told = set(self.bout.told)
        for frame in self.accepted:
            desktop = self.labels[frame].desktop_id
            if frame not in self.lost:
                left.append(frame)
            elif desktop is not None and desktop not in told:
                told.add(desktop)
                left.append(gap(desktop, self.bout.gaps[desktop]))
        return left

    # -- what always holds -------------------------------------------------------------------------------------------

    @invariant()
    def what_is_left_is_in_order_and_every_notice_in_its_place(self) -> None:
        assert self.inbox._frames == self.expected()

    @invariant()
    def bounds_hold(self) -> None:
        assert self.inbox.pending_bytes == sum(map(len, self.inbox._frames)) <= self.max_bytes
        assert len(self.inbox) <= self.max_frames

    @invariant()
    def only_what_may_go_is_lost_and_the_newest_status_never(self) -> None:
        assert {self.labels[frame].type for frame in self.lost} <= {STREAM, STATUS}
        newest = {self.labels[f].desktop_id: f for f in self.accepted if self.labels[f].type == STATUS}
        assert not self.lost & set(newest.values())

    @invariant()
    def what_is_lost_lies_behind_what_its_notice_says(self) -> None:
        for frame in self.lost:
            label = self.labels[frame]
            assert label.desktop_id is not None
            assert label.offset is not None
            assert label.offset > self.bout.gaps[label.desktop_id]

    @invariant()
    def no_frame_is_looked_at_twice(self) -> None:
        assert set(self.looked_at.values()) <= {1}

    @invariant()
    def whatever_waits_was_announced(self) -> None:
        assert self.woken or not self.inbox

    def teardown(self) -> None:
        if not hasattr(self, "inbox"):
            return
        expected = self.expected()
        assert self.inbox.close()[: len(expected)] == expected
        assert self.inbox.offer(b"", 0.0) is Offer.CLOSED
        assert self.inbox.take_all() == []


TestShedding = SheddingMachine.TestCase
TestShedding.settings = settings(max_examples=50, stateful_step_count=40, deadline=None)
