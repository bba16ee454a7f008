"""The names of the journal's keys in Redis, beside the contract.

The user id stands in braces, so that all keys of one user share a cluster slot. Ids hold no braces
(`actors.ids.ID_PATTERN`), so names can't be forged.
"""

from actors.ids import DesktopId, UserId


def stream(user_id: UserId, desktop_id: DesktopId) -> str:
    """Stream of what the desktop said; ids are offsets.

    `EPOCH-0` is an opening: field `a` is where the connection before it ended, `0-0` if there never was one, empty if
    nobody knows. `EPOCH-SEQ` is a message: field `f` is its text. Field `w` of both is when it was written, in
    milliseconds since the epoch.
    """
    return f"hub:{{{user_id}}}:journal:{desktop_id}"


def state(user_id: UserId, desktop_id: DesktopId) -> str:
    """Hash that outlives the stream.

    `epoch`: the newest that opened; `end`: the offset where it ended, if it told; `bytes`: of the messages in the
    stream; `oldest`: `w` of the stream's first entry; `until`: when the stream expires, in milliseconds since the
    epoch.
    """
    return f"hub:{{{user_id}}}:journal-state:{desktop_id}"


def of_journal(user_id: UserId, desktop_id: DesktopId) -> tuple[str, str]:
    """Return the two keys of a journal, as its scripts take them."""
    return stream(user_id, desktop_id), state(user_id, desktop_id)
