"""The numbers that a node's actors live by. `hub/config.py` checks them and the laws between them."""

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Policy:
    """Times in seconds.

    Attributes:
        heartbeat_interval_s: How often a desktop is asked to send `heartbeat`.
        heartbeat_timeout_s: Silence after which a peer is taken for dead (4103).
        ping_interval_s: How often a phone is pinged.
        offline_grace_s: How long a desktop whose link was lost is still shown as online.
        token_grace_s: How long a connection outlives its token (4201).
        rate: Messages a second that a connection may send in the long run, or None for no limit.
        burst: Messages that it may send at once.
        max_message_bytes: The longest message that is taken (1009).
        inbox_frames: Frames that may wait for a client (4102).
        inbox_bytes: Bytes that may wait for a client (4102).
        write_stall_s: How long a client may read nothing while it is written to (4102).
        close_deadline_s: How long a peer may take to answer a close frame.
        max_desktops: Desktops that one user may have connected (4007).
        max_mobiles: Phones that one user may have connected (4007).
        max_known: Desktops, away ones included, that are kept in memory for one user.
        mailbox: Whether messages to a desktop go through its mailbox.
        ring_frames: Frames of one desktop that are kept in memory for phones that come back.
        ring_bytes: Bytes of them.
        replay_messages: Messages from the journal that a phone gets for one desktop when it comes back.
    """

    heartbeat_interval_s: float = 30.0
    heartbeat_timeout_s: float = 120.0
    ping_interval_s: float = 25.0
    offline_grace_s: float = 5.0
    token_grace_s: float = 0.0
    rate: float | None = 200.0
    burst: float = 400.0
    max_message_bytes: int = 1_048_576
    inbox_frames: int = 8192
    inbox_bytes: int = 4_194_304
    write_stall_s: float = 5.0
    close_deadline_s: float = 3.0
    max_desktops: int = 50
    max_mobiles: int = 20
    max_known: int = 1000
    mailbox: bool = True
    ring_frames: int = 2048
    ring_bytes: int = 1_048_576
    replay_messages: int = 1000
