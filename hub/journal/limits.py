"""How much of what a desktop said is kept."""

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class JournalLimits:
    """The bounds of one desktop's journal; past any of them the oldest goes, but the newest message always stays.

    Attributes:
        messages: Entries, openings included.
        bytes: Bytes of messages, without what Redis needs beside them.
        age_s: Seconds that an entry stays; looked at when something is written. All of it goes so long after the last
            write.
    """

    messages: int = 1000
    bytes: int = 4_194_304
    age_s: float = 259_200
