"""What Redis answers to a read."""

from actors.ids import Epoch
from actors.journal import JournalEntry, JournalPage, Opening, Written
from actors.offsets import Offset, parse_offset
from hub.frames import text_frame
from hub.store.calls import Reply

NOTHING_KNOWN = JournalPage((), more=False, head=None)


def read_page(reply: Reply) -> JournalPage:
    """Make a page of the answer to `scripts.READ`; an error (a key of a wrong type) is nothing, with no known end."""
    if not isinstance(reply, list):
        return NOTHING_KNOWN
    head, more, entries = reply
    return JournalPage(tuple(_entry(name, body) for name, body in entries), more=more == 1, head=_offset(head))


def read_epoch(reply: Reply) -> Epoch | None:
    """Return the newer epoch that a write met, if it met one."""
    return Epoch(int(reply)) if isinstance(reply, bytes) else None


def _entry(name: bytes, body: bytes) -> JournalEntry:
    epoch, _, seq = name.partition(b"-")
    offset = Offset(int(epoch), int(seq))
    return Written(offset, text_frame(body)) if offset.seq else Opening(offset, _offset(body))


def _offset(text: bytes) -> Offset | None:
    return parse_offset(text.decode(errors="replace"))
