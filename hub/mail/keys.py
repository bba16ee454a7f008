"""The names of the mail keys in Redis.

All keys of one user share a cluster slot, by the user id in braces. Ids hold no braces and no space
(`actors.ids.ID_PATTERN`), so names can't be forged.
"""

from actors.ids import DesktopId, DeviceId, UserId

EXPIRING = "hub:expiring"
"""Sorted set, beside the users' slots: `USER DESKTOP` -> ms when the next letter in that mailbox runs out.

`USER DESKTOP leased` stands there while somebody looks into that mailbox, in case that they don't come to the end.
"""


def mailbox(user_id: UserId, desktop_id: DesktopId) -> str:
    """Stream of letters: `k` key, `f` text of the message, `t` type, `d` device, `p` fingerprint, `v` valid_until."""
    return f"hub:{{{user_id}}}:mailbox:{desktop_id}"


def receipts(user_id: UserId, desktop_id: DesktopId) -> str:
    """Hash: letter key -> `STATUS|ENTRY|SIZE|FINGERPRINT|DEVICE`, with no `ENTRY` once it has left the mailbox.

    Beside them `bytes`, what lies in the mailbox, and `last`, the newest entry that there was ever. Letter keys begin
    with `m:` or `x:`.
    """
    return f"hub:{{{user_id}}}:receipts:{desktop_id}"


def remembered(user_id: UserId, desktop_id: DesktopId) -> str:
    """Sorted set: letter key -> ms when it came."""
    return f"hub:{{{user_id}}}:remembered:{desktop_id}"


def of_mailbox(user_id: UserId, desktop_id: DesktopId) -> tuple[str, str, str]:
    """Return the three keys of a mailbox, as its scripts take them."""
    return mailbox(user_id, desktop_id), receipts(user_id, desktop_id), remembered(user_id, desktop_id)


def pace(user_id: UserId) -> str:
    """String: when the allowance of the user's phones is whole again, in microseconds since the epoch."""
    return f"hub:{{{user_id}}}:pace"


def kept(user_id: UserId, device_id: DeviceId | None) -> str:
    """Stream of receipts for a device that is away: `desktop`, `message_id`, `status`, `latest`."""
    return f"hub:{{{user_id}}}:kept:{device_id or ''}"


def member(user_id: UserId, desktop_id: DesktopId) -> str:
    """Return what a mailbox is called in `EXPIRING`."""
    return f"{user_id} {desktop_id}"


def mailbox_of(member: str) -> tuple[UserId, DesktopId]:
    """Read back what `member` gave."""
    user_id, _, desktop_id = member.partition(" ")
    return UserId(user_id), DesktopId(desktop_id)
