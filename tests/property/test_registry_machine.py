"""The registry against a simple model: whatever comes and goes, nobody is lost and nobody is doubled."""

from dataclasses import dataclass
from itertools import count

from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import Bundle, RuleBasedStateMachine, consumes, invariant, multiple, rule

from actors.ids import DesktopId, DeviceId, Epoch, UserId
from actors.messages import DesktopIdentity, KnownDesktop, MobileIdentity
from actors.registry import Registry, Standing

MAX_DESKTOPS, MAX_MOBILES, MAX_KNOWN = 2, 2, 2
users = st.sampled_from([UserId("u1"), UserId("u2")])
desktops = st.sampled_from([DesktopId(f"d{n}") for n in range(5)])
devices = st.sampled_from([None, DeviceId("x"), DeviceId("y")])


@dataclass(frozen=True)
class Link:
    """One desktop's connection that was admitted."""

    desktop: DesktopId
    user: UserId
    epoch: Epoch


@dataclass(frozen=True)
class Phone:
    """One phone's connection that was admitted."""

    number: int
    user: UserId
    device: DeviceId | None


class RegistryMachine(RuleBasedStateMachine):
    """The model keeps who holds each desktop, which of them are graced, and all phones."""

    links = Bundle("links")
    phones = Bundle("phones")

    def __init__(self) -> None:
        super().__init__()
        self.hub: Registry[Link, Phone] = Registry(
            max_desktops=MAX_DESKTOPS, max_mobiles=MAX_MOBILES, max_known=MAX_KNOWN
        )
        self.clock = count(1)
        self.holder: dict[DesktopId, Link] = {}
        self.graced: dict[DesktopId, Link] = {}
        self.here: list[Phone] = []
        self.behind: set[tuple[Phone, DesktopId]] = set()

    def connected(self, user: UserId) -> int:
        return sum(link.user == user for link in self.holder.values())

    # -- desktops --------------------------------------------------------------------------------------------------

    @rule(target=links, desktop=desktops, user=users, age=st.integers(0, 3))
    def desktop_comes(self, desktop: DesktopId, user: UserId, age: int) -> Link | object:
        """A connection of some steps ago comes, perhaps behind a newer one; no two epochs are the same."""
        now = next(self.clock)
        link = Link(desktop, user, Epoch(100 * now - 130 * age))
        identity = DesktopIdentity(desktop, user, 0.0)
        older = self.holder.get(desktop)
        has_a_place = older is not None and older.user == user
        shown = older or self.graced.get(desktop)
        entry = self.hub._desktops.get(desktop)
        too_late = entry is not None and entry.epoch >= link.epoch
        joined = self.hub.admit_desktop(identity, link, link.epoch, now)
        if too_late or (not has_a_place and self.connected(user) >= MAX_DESKTOPS):
            assert joined is None
            return multiple()
        assert joined is not None
        assert shown is None or shown.epoch < link.epoch
        assert joined.superseded == older
        assert joined.appeared is (shown is None or shown.user != user)
        if shown is not None and shown.user != user:
            assert joined.previous is not None
            assert joined.previous.owner == shown.user
        self.graced.pop(desktop, None)
        self.holder[desktop] = link
        return link

    @rule(link=links)
    def link_ends(self, link: Link) -> None:
        """Any connection that ever was, ends: perhaps late, perhaps again."""
        parted = self.hub.part_desktop(link.desktop, link.epoch, next(self.clock))
        if self.holder.get(link.desktop) == link:
            assert parted is not None
            self.graced[link.desktop] = self.holder.pop(link.desktop)
        else:
            assert parted is None

    @rule(link=links)
    def grace_runs_out(self, link: Link) -> None:
        settled = self.hub.settle_desktop(link.desktop, link.epoch, "lost")
        if self.graced.get(link.desktop) == link:
            assert settled is not None
            assert settled.owner == link.user
            del self.graced[link.desktop]
        else:
            assert settled is None

    @rule(user=users, known=st.lists(desktops, max_size=5, unique=True))
    def store_answers(self, user: UserId, known: list[DesktopId]) -> None:
        before = self.present()
        past = [KnownDesktop(desktop, next(self.clock), None, None, "closed") for desktop in known]
        for desktop in self.hub.remember(user, past):
            assert desktop.desktop_id not in before
            assert desktop.standing is Standing.AWAY
        assert self.present() == before

    # -- phones ----------------------------------------------------------------------------------------------------

    @rule(target=phones, user=users, device=devices, behind=st.sets(desktops))
    def phone_comes(self, user: UserId, device: DeviceId | None, behind: set[DesktopId]) -> Phone | object:
        phone = Phone(next(self.clock), user, device)
        mine = [other for other in self.here if other.user == user]
        older = next((other for other in mine if device is not None and other.device == device), None)
        joined = self.hub.admit_mobile(MobileIdentity(user, 0.0, device), phone, behind)
        if older is None and len(mine) >= MAX_MOBILES:
            assert joined is None
            return multiple()
        assert joined is not None
        assert joined.superseded == older
        if older is not None:
            self.here.remove(older)
        self.here.append(phone)
        self.behind |= {(phone, desktop) for desktop in behind}
        return phone

    @rule(phone=phones, desktop=desktops)
    def phone_catches_up(self, phone: Phone, desktop: DesktopId) -> None:
        """Any phone that ever was, with any desktop: perhaps late, perhaps again."""
        self.hub.catch_up(phone.user, phone, desktop)
        self.behind.discard((phone, desktop))

    @rule(phone=phones)
    def phone_ends(self, phone: Phone) -> None:
        """Any phone's connection that ever was, ends: perhaps superseded before, perhaps again."""
        assert self.hub.part_mobile(phone.user, phone) is (phone in self.here)
        if phone in self.here:
            self.here.remove(phone)

    @rule(phone=consumes(phones))
    def phone_is_forgotten(self, phone: Phone) -> None:
        """Keep the bundle small; the phone ends for good."""
        self.phone_ends(phone)

    # -- what always holds -------------------------------------------------------------------------------------------

    def present(self) -> dict[DesktopId, Link | None]:
        return {desktop.desktop_id: desktop.connection for desktop in self.hub.present()}

    @invariant()
    def nobody_is_lost_and_nobody_is_doubled(self) -> None:
        expected: dict[DesktopId, Link | None] = {**dict.fromkeys(self.graced), **self.holder}
        assert self.present() == expected
        assert len(list(self.hub.present())) == len(expected)
        for desktop, link in {**self.graced, **self.holder}.items():
            found = self.hub.find(link.user, desktop)
            assert found is not None
            assert (found.epoch, found.owner) == (link.epoch, link.user)

    @invariant()
    def every_phone_is_its_users_and_every_device_is_one_phone(self) -> None:
        listed = [(phone, user_id) for user_id, user in self.hub.users.items() for phone in user.mobiles]
        assert sorted(phone.number for phone, _ in listed) == sorted(phone.number for phone in self.here)
        assert all(phone.user == user_id for phone, user_id in listed)
        for user in self.hub.users.values():
            assert user.devices == {device: phone for phone, device in user.mobiles.items() if device is not None}

    @invariant()
    def every_desktop_is_heard_by_its_owners_phones_but_for_those_that_are_behind(self) -> None:
        for user_id, user in self.hub.users.items():
            mine = [phone for phone in self.here if phone.user == user_id]
            assert list(user.listeners) == mine
            for desktop in user.desktops.values():
                heard_by = [phone for phone in mine if (phone, desktop.desktop_id) not in self.behind]
                assert list(desktop.listeners) == heard_by
            kept = {(phone, desktop) for desktop, phones in user.behind.items() for phone in phones}
            assert kept == {(phone, desktop) for phone, desktop in self.behind if phone in mine}
            assert all(user.behind.values())

    @invariant()
    def no_entry_is_stale(self) -> None:
        for user_id, user in self.hub.users.items():
            present = [d for d in user.desktops.values() if d.standing is not Standing.AWAY]
            assert user.mobiles or present, "nobody of this user is connected"
            assert all(desktop.owner == user_id for desktop in user.desktops.values())
            assert all((d.connection is not None) is (d.standing is Standing.CONNECTED) for d in user.desktops.values())
        listed = [desktop_id for user in self.hub.users.values() for desktop_id in user.desktops]
        assert sorted(listed) == sorted(self.hub._desktops), "both indexes tell the same"

    @invariant()
    def limits_hold(self) -> None:
        for user_id, user in self.hub.users.items():
            present = sum(d.standing is not Standing.AWAY for d in user.desktops.values())
            assert self.connected(user_id) <= MAX_DESKTOPS
            assert len(user.mobiles) <= MAX_MOBILES
            assert len(user.desktops) <= MAX_KNOWN + present


TestRegistry = RegistryMachine.TestCase
TestRegistry.settings = settings(max_examples=50, stateful_step_count=40, deadline=None)
