"""What a client asks for in the query of its socket: `?ack=1`, `?resume=` (docs/protocol.md, "Messages")."""

from sanic import Request

from actors.ids import DesktopId, is_id
from actors.offsets import Offset, parse_offset
from hub.routes.problems import Problem

MOST_RESUMED = 50
_WANTED = "resume should be DESKTOP:EPOCH-SEQ, comma-separated, each desktop once, at most 50 of them; 0-0 asks for all"


def acks(request: Request) -> bool:
    """Tell whether a desktop says `ack` for what it has taken.

    Raises:
        Problem: 400, if `ack` is anything but 0 or 1, or there twice.
    """
    asked = _argument(request, "ack")
    if asked not in (None, "0", "1"):
        raise Problem(400, "bad_request", "ack should be 1, or left out")
    return asked == "1"


def resume(request: Request) -> dict[DesktopId, Offset]:
    """Return up to where a phone has seen desktops.

    Raises:
        Problem: 400, if `resume` isn't well-formed, or there twice.
    """
    asked = _argument(request, "resume")
    if asked is None:
        return {}
    places: dict[DesktopId, Offset] = {}
    for part in asked.split(",", MOST_RESUMED - 1):
        desktop_id, _, text = part.rpartition(":")
        offset = parse_offset(text)
        if offset is None or not is_id(desktop_id) or desktop_id in places:
            raise Problem(400, "bad_request", _WANTED)
        places[DesktopId(desktop_id)] = offset
    return places


def _argument(request: Request, name: str) -> str | None:
    given = request.args.getlist(name) if request.query_string else None
    if not given:
        return None
    if len(given) > 1:
        raise Problem(400, "bad_request", f"{name} should be there once")
    return str(given[0])
