"""How much mail is kept, and for how long."""

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class MailLimits:
    """The bounds of every mailbox.

    Attributes:
        messages: Letters in a mailbox.
        bytes: Bytes of text in a mailbox.
        age_s: How long a letter waits; then it has expired.
        remembered_s: How long is remembered what became of a message, and receipts are kept for a device; not less
            than `age_s`.
        remembered_messages: Of how many messages of a desktop that is remembered; not less than `messages`.
        rate: New letters a second that all phones of a user together may send, in the long run; None: no limit.
        burst: How many of them at once.
    """

    messages: int = 1000
    bytes: int = 4 * 1024 * 1024
    age_s: float = 86_400
    remembered_s: float = 86_400
    remembered_messages: int = 10_000
    rate: float | None = None
    burst: int = 1

    @property
    def age_ms(self) -> int:
        """`age_s` in milliseconds."""
        return int(self.age_s * 1000)

    @property
    def remembered_ms(self) -> int:
        """`remembered_s` in milliseconds."""
        return int(self.remembered_s * 1000)
