"""Whether this machine's clock and Redis' agree."""

from collections.abc import Iterator

from hub.doctor.finding import Finding, error, note, ok, warning
from hub.doctor.redis_server import ClockSkew

_ABOUT = "clock"
_APART_S = 1.0


def check_clock(skew: ClockSkew | None, leeway_s: float) -> Iterator[Finding]:
    """Compare the clocks with what tokens are granted (`HUB_JWT_LEEWAY_S`); doubt is for the clocks."""
    if skew is None:
        yield note(_ABOUT, "the server doesn't tell the time", "allow TIME, and see that both machines use NTP")
        return
    sure_s = max(0.0, abs(skew.ahead_s) - skew.error_s)
    way = "ahead of" if skew.ahead_s > 0 else "behind"
    found = f"Redis is {abs(skew.ahead_s):.3f} s {way} this machine (± {skew.error_s:.3f} s)"
    if sure_s > max(_APART_S, leeway_s):
        yield error(
            _ABOUT,
            f"{found}: one of them is further off than HUB_JWT_LEEWAY_S ({leeway_s:g})",
            "have NTP set both clocks (timedatectl); tokens and message ages are judged wrongly",
        )
    elif sure_s > _APART_S:
        yield warning(_ABOUT, found, "have NTP set both clocks (timedatectl)")
    else:
        yield ok(_ABOUT, found)
