"""One node: builds the actors, runs them and drains them. It knows nothing of HTTP."""

import asyncio
import logging
import math
import random
import secrets
from collections import Counter
from collections.abc import Collection, Iterable, Mapping
from importlib.metadata import version
from typing import Any

from actors.clock import EpochSource, SystemClock
from actors.desktop import DesktopConnection
from actors.drain import Drain
from actors.ids import ConnectionId, DesktopId, Epoch, NodeId, UserId
from actors.limits import TokenBucket
from actors.mail import Receipt, Sender
from actors.messages import DesktopIdentity, MobileIdentity, PresenceRecord
from actors.mobile import MobileConnection
from actors.nodes import Posted, Told, Undelivered, Word
from actors.offsets import Offset
from actors.policy import Policy
from actors.post import PostOffice
from actors.supervisor import Supervisor
from actors.surroundings import Surroundings
from actors.tallies import Tallies
from actors.turns import Turns
from hub.auth.build import build_keys, build_verifier
from hub.auth.refresh import LiveRefresher
from hub.cluster.alone import Alone
from hub.cluster.neighbourhood import Neighbourhood
from hub.config import Settings
from hub.embedded_valkey import START_S, EmbeddedValkey
from hub.events.presence_events import PresenceEvents
from hub.journal.journal import RedisJournal
from hub.journal.limits import JournalLimits
from hub.mail.limits import MailLimits
from hub.mail.room import RedisMailroom
from hub.presence.mirror import PresenceMirror
from hub.presence.store import RedisPresenceStore
from hub.revocation.closing import close_revoked
from hub.revocation.keeper import RevocationKeeper
from hub.revocation.known import KnownRevocations, Target
from hub.revocation.stream import RevocationStream
from hub.store.client import connect
from hub.store.tasks import finish
from hub.wire import JsonCodec

log = logging.getLogger("hub.node")

TURN_S = 0.25
STUCK_S = 2.0
FLUSH_S = 1.0
REFUSALS_LOGGED_PER_S = 10.0
HURRY_BEFORE_END_S = 2.0
VERSION = version("tether-hub")
KINDS = ("desktop", "mobile")


class Node:
    """The hub's behaviour on one event loop; make it inside that loop.

    Attributes:
        since: When it began, in milliseconds since the epoch.
        ready: Whether new sockets may come in.
        refused_sockets: Sockets that are open only to be told why they may not come in.
        refusals: Handshakes that were refused, by (kind, reason).
    """

    def __init__(self, settings: Settings) -> None:
        self.settings = settings
        self.node_id = NodeId(f"{settings.node_name}/{secrets.token_hex(4)}")
        self.clock = SystemClock()
        self.since = self.clock.wall_ms()
        self.codec = JsonCodec(self.clock)
        self.tallies = Tallies()
        self.refusals: Counter[tuple[str, str]] = Counter()
        self.refused_sockets = 0
        self._refusals_logged = TokenBucket(REFUSALS_LOGGED_PER_S, REFUSALS_LOGGED_PER_S, self.clock.monotonic())
        self.ready = False
        self._loop = asyncio.get_running_loop()
        self._epochs = EpochSource(self.clock)
        self._keys = build_keys(settings, self.clock)
        self._revoked = KnownRevocations(self.clock)
        self.verifier = build_verifier(settings, self._keys, self.clock, self._revoked)
        self._refresher = LiveRefresher(self.verifier)
        self._valkey = EmbeddedValkey(settings.data_dir) if settings.redis_url is None else None
        self._redis = connect(settings.redis_url or self._embedded_url(), settings.redis_timeout_ms)
        self.presence = RedisPresenceStore(
            self._redis,
            settings.presence_ttl_s,
            settings.presence_stream_length,
            settings.known_desktops,
            timeout_s=settings.redis_timeout_s,
        )
        self.mirror = PresenceMirror(
            self.presence,
            node_id=self.node_id,
            ttl_s=settings.presence_ttl_s,
            online_records=self._present_records,
            learn_clock=self._epochs.learn,
            owner_changed=self._owner_changed,
            clears_earlier_lives=settings.redis_url is None,  # Else the lost nodes' leases tell whose records to clear.
        )
        self.journal = RedisJournal(
            self._redis,
            journal_limits(settings),
            timeout_s=settings.redis_timeout_s,
            available=lambda: self.mirror.available,
        )
        self.mailroom = RedisMailroom(
            self._redis,
            mail_limits(settings),
            timeout_s=settings.redis_timeout_s,
            available=lambda: self.mirror.available,
            tell=self._tell_sender,
            returned=self._read_mailboxes,
        )
        self.revocations = self._new_keeper()
        self.events = PresenceEvents(self._redis, timeout_s=settings.redis_timeout_s)
        self.turns = Turns(self._loop)
        self.neighbourhood = None if settings.redis_url is None else self._new_neighbourhood()
        self._around = Surroundings(
            node_id=self.node_id,
            clock=self.clock,
            epochs=self._epochs,
            scheduler=self._loop,
            turns=self.turns,
            codec=self.codec,
            mirror=self.mirror,
            journal=self.journal,
            cluster=self.neighbourhood or Alone(),
            policy=policy_of(settings),
            tallies=self.tallies,
        )
        self.supervisor = Supervisor(self._around)
        self.post = PostOffice(self._around, self.supervisor, self.mailroom)
        self._turning: asyncio.TimerHandle | None = None
        self._restarting: asyncio.Task[None] | None = None
        self._drain: Drain | None = None
        self._hurried = False

    # -- life ------------------------------------------------------------------------------------------------------

    async def start(self) -> None:
        """Start everything, and be ready.

        Raises:
            hub.embedded_valkey.DataDirInUse: If another hub holds the data directory.
            hub.embedded_valkey.EmbeddedValkeyFailed: If the embedded server did not come up.
        """
        self._turn()
        if self._valkey is not None:
            self._valkey.start()
            await self._valkey.wait_ready(START_S)
            self._restarting = asyncio.create_task(self._valkey.supervise(), name="embedded-valkey")
        await self._keys.refresh()
        await self.mirror.start()
        await self.mirror.settled(self.settings.redis_timeout_s)
        await self.journal.start()
        await self.mailroom.start()
        if self.neighbourhood is not None:
            await self.neighbourhood.start()
        await self.events.start()
        await self.revocations.start()
        self.ready = True
        log.info("the node %s is ready", self.node_id)

    async def drain(self) -> None:
        """Let nobody in any more, say goodbye to everybody, and close; returns within the deadline."""
        if self._drain is not None:
            return
        self.ready = False
        self.events.close()
        done = asyncio.Event()
        self._drain = Drain(
            self.supervisor,
            self._loop,
            spread_s=self.settings.drain_spread_s,
            close_deadline_s=self.settings.close_deadline_s,
            share=random.random,
            done=done.set,
        )
        log.info("draining: %d connections are told goodbye", self.supervisor.open_count)
        self._drain.start()
        if self._hurried:
            self._drain.hurry()
        hurry = self._loop.call_later(max(0.0, self.settings.drain_deadline_s - HURRY_BEFORE_END_S), self.hurry)
        try:
            async with asyncio.timeout(max(0.5, self.settings.drain_deadline_s - HURRY_BEFORE_END_S / 2)):
                await done.wait()
        except TimeoutError:
            log.warning("draining: %d connections are cut off", self.supervisor.open_count)
        hurry.cancel()

    def hurry(self) -> None:
        """Close everything now; what a second SIGTERM asks for, which may come before the drain has begun."""
        self._hurried = True
        if self._drain is not None:
            self._drain.hurry()

    async def stop(self) -> None:
        """End everything that the node started."""
        self.ready = False
        if self._turning is not None:
            self._turning.cancel()
        graced = next(iter(self.supervisor.present_records()), None) is not None
        await asyncio.gather(*(part.stop(FLUSH_S) for part in (self.mirror, self.journal, self.mailroom)))
        if self.neighbourhood is not None:
            await self.neighbourhood.stop(FLUSH_S, self.settings.offline_grace_s if graced else 0.0)
        await self.revocations.stop()
        await self.events.stop()
        await self._refresher.aclose()
        await self._keys.aclose()
        await self._redis.aclose()
        await finish(self._restarting)
        if self._valkey is not None:
            self._valkey.stop()
        log.info("the node %s has ended", self.node_id)

    # -- what routes ask -------------------------------------------------------------------------------------------

    @property
    def alive(self) -> bool:
        """Whether the supervisor's loop turns."""
        return self.clock.monotonic() - self.supervisor.turned_at < STUCK_S

    @property
    def state(self) -> str:
        """`starting`, `ready` or `draining`."""
        if self.ready:
            return "ready"
        return "starting" if self._drain is None else "draining"

    def why_not_ready(self) -> str:
        """Say why nobody can come in now: one line for the client's developer."""
        return f"the hub is {self.state}; try again after the time in Retry-After"

    def retry_after_s(self) -> int:
        """When a client that can't come in now should try again: its own share of the spread."""
        return 1 if self._drain is None else 1 + math.ceil(self._drain.retry_after_s())

    def about(self) -> dict[str, Any]:
        """Return what the node tells about itself."""
        return {
            "state": self.state,
            "since": self.since,
            "version": VERSION,
            "connections": {kind: len(self.supervisor.open_routes(kind)) for kind in KINDS},
        }

    def nodes(self) -> list[dict[str, Any]]:
        """Return this node, and all others that share its Redis."""
        if self.neighbourhood is not None:
            return self.neighbourhood.nodes()
        return [{"node_id": self.node_id, **self.about()}]

    @property
    def open_sockets(self) -> int:
        """Sockets that were upgraded and are still open."""
        return self.supervisor.open_count + self.refused_sockets

    def count_refusal(self, kind: str, reason: str) -> None:
        """Count a handshake that was refused, and log it unless there are too many of them."""
        self.refusals[kind, reason] += 1
        if self._refusals_logged.take(self.clock.monotonic()) == 0.0:
            log.info("refused", extra={"kind": kind, "reason": reason, "so_far": self.refusals[kind, reason]})

    def refused_gone(self) -> None:
        """A refused socket is closed."""
        self.refused_sockets -= 1

    def new_desktop(self, identity: DesktopIdentity, *, acks: bool) -> DesktopConnection:
        """Make the actor of a desktop that came in; its transport starts it. `acks`: it came with `?ack=1`."""
        shared = self._around, self.supervisor, self.post, self._refresher
        return DesktopConnection(_new_connection_id(), identity, self._epochs.next(), *shared, acks=acks)

    def new_mobile(self, identity: MobileIdentity, resume: Mapping[DesktopId, Offset]) -> MobileConnection:
        """Make the actor of a phone that came in; its transport starts it. `resume`: what it came with `?resume=`."""
        shared = self._around, self.supervisor, self.post, self._refresher
        return MobileConnection(_new_connection_id(), identity, *shared, resume=resume)

    # -- within --------------------------------------------------------------------------------------------------

    def _embedded_url(self) -> str:
        assert self._valkey is not None  # noqa: S101 - made when there is no URL
        return self._valkey.url

    def _new_neighbourhood(self) -> Neighbourhood:
        settings = self.settings
        return Neighbourhood(
            self._redis,
            node_id=self.node_id,
            hear=self._hear,
            missed=lambda node_id: self.supervisor.neighbours.missed(node_id),  # noqa: PLW0108 - made later
            gone=lambda node_id: self.supervisor.neighbours.gone(node_id),  # noqa: PLW0108 - made later
            anew=lambda: self.supervisor.neighbours.anew(),  # noqa: PLW0108 - made later
            renew=lambda: self.supervisor.neighbours.shares(),  # noqa: PLW0108 - made later
            renewed=lambda user_id, others: self.supervisor.neighbours.renewed(user_id, others),  # noqa: PLW0108 - made later
            about=self.about,
            clean=self.presence.clear_node,
            available=lambda: self.mirror.available,
            lease_s=settings.node_lease_s,
            timeout_s=settings.redis_timeout_s,
        )

    def _hear(self, node_id: NodeId, word: Word) -> None:
        if isinstance(word, Posted | Told | Undelivered):
            self.post.hear(node_id, word)
        else:
            self.supervisor.neighbours.hear(node_id, word)

    def _owner_changed(self, desktop_id: DesktopId, epoch: Epoch, previous: UserId) -> None:
        self.supervisor.neighbours.owner_changed(desktop_id, epoch, previous)

    def _new_keeper(self) -> RevocationKeeper:
        settings = self.settings
        longest_s, leeway_s = settings.revocation_ttl_s, settings.jwt_leeway_s
        stream = RevocationStream(
            self._redis,
            kept_s=longest_s + leeway_s,
            timeout_s=settings.redis_timeout_s,
            clock=self.clock,
        )
        return RevocationKeeper(
            stream, self._revoked, longest_s=longest_s, leeway_s=leeway_s, clock=self.clock, close=self._close_revoked
        )

    def _close_revoked(self, targets: Collection[Target]) -> int:
        return close_revoked(self.supervisor, self._revoked, targets)

    def _tell_sender(self, sender: Sender, receipt: Receipt) -> None:
        self.post.tell(sender, receipt)

    def _read_mailboxes(self) -> None:
        self.post.store_is_back()

    def _present_records(self) -> Iterable[PresenceRecord]:
        return self.supervisor.present_records()

    def _turn(self) -> None:
        self.supervisor.turn()
        if self.mirror.available:
            self.supervisor.load_what_is_missing()
        self._turning = self._loop.call_later(TURN_S, self._turn)


def _new_connection_id() -> ConnectionId:
    return ConnectionId(secrets.token_hex(8))


def mail_limits(settings: Settings) -> MailLimits:
    """Return the bounds of mailboxes."""
    limit = settings.user_rate_limit
    return MailLimits(
        messages=settings.mailbox_messages,
        bytes=settings.mailbox_bytes,
        age_s=settings.mailbox_age_s,
        remembered_s=settings.dedupe_s,
        remembered_messages=settings.dedupe_messages,
        rate=None if limit is None else limit.rate,
        burst=1 if limit is None else limit.burst,
    )


def journal_limits(settings: Settings) -> JournalLimits:
    """Return the bounds of journals."""
    return JournalLimits(messages=settings.journal_messages, bytes=settings.journal_bytes, age_s=settings.journal_age_s)


def policy_of(settings: Settings) -> Policy:
    """Return the numbers that the actors live by."""
    limit = settings.rate_limit
    return Policy(
        heartbeat_interval_s=settings.heartbeat_interval_s,
        heartbeat_timeout_s=settings.heartbeat_timeout_s,
        ping_interval_s=settings.ping_interval_s,
        offline_grace_s=settings.offline_grace_s,
        token_grace_s=settings.token_grace_s,
        rate=None if limit is None else limit.rate,
        burst=0.0 if limit is None else limit.burst,
        max_message_bytes=settings.max_message_bytes,
        inbox_frames=settings.inbox_messages,
        inbox_bytes=settings.inbox_bytes,
        write_stall_s=settings.write_stall_s,
        close_deadline_s=settings.close_deadline_s,
        max_desktops=settings.max_desktops_per_user,
        max_mobiles=settings.max_mobiles_per_user,
        max_known=settings.known_desktops,
        mailbox=settings.mailbox,
        ring_frames=settings.ring_messages,
        ring_bytes=settings.ring_bytes,
        replay_messages=settings.replay_messages,
    )
