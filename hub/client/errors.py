"""What a client's user has to reckon with."""


class HubClosed(Exception):  # noqa: N818 - it names what happened, like the libraries that it stands on
    """The hub has closed the connection, or refused it, in a way that trying again can't mend.

    Attributes:
        code: The WebSocket close code (40xx, 4201), or the HTTP status of the refusal (401, 403).
        name: The code's name, such as `superseded`.
    """

    def __init__(self, code: int, name: str, text: str) -> None:
        super().__init__(f"{text} ({code} {name})")
        self.code = code
        self.name = name


class NotConnected(Exception):  # noqa: N818 - as above
    """There was no connection within the time allowed, or it broke during the call.

    What was being sent may or may not have arrived: the hub takes a message with a `message_id` once only.
    """


class TooBig(ValueError):  # noqa: N818 - as above
    """The message is greater than the hub's `max_bytes`; nothing was sent."""


class Refused(Exception):  # noqa: N818 - as above
    """A message was not taken, or not handed over in time, and sending it again is pointless.

    Attributes:
        code: The hub's error code (`desktop_not_found`, `bad_payload`, ...), or `expired`.
    """

    def __init__(self, code: str, text: str) -> None:
        super().__init__(f"{code}: {text}")
        self.code = code


class TooManyPosts(Exception):  # noqa: N818 - as above
    """As many messages as one client may post at once wait for their receipts; this one was not sent."""
