import asyncio
from dataclasses import replace
from threading import Event

import pytest

from actors.ids import DesktopId, DeviceId, UserId
from actors.messages import DesktopIdentity, ErrorCode, Fault, Identity, MobileIdentity
from hub.auth import refresh as refresh_module
from hub.auth.jwks_keys import JwksKeys
from hub.auth.keys import KeyMiss, SharedSecrets
from hub.auth.refresh import LiveRefresher
from hub.auth.tokens import TokenIdentity, TokenVerifier
from tests.unit.hub.auth.support import (
    NOW_S,
    SECRET,
    HandClock,
    desktop_claims,
    ec_pair,
    issuer_site,
    jwks,
    mobile_claims,
    sign,
)

DESKTOP = DesktopIdentity(DesktopId("desk-1"), UserId("user-1"), NOW_S + 1)
MOBILE = MobileIdentity(UserId("user-1"), NOW_S + 1, DeviceId("phone"))
LATER = NOW_S + 3600


def _refresher() -> LiveRefresher:
    return LiveRefresher(TokenVerifier(SharedSecrets(SECRET), clock=HandClock()))


async def _answer(refresher: LiveRefresher, current: Identity, token: str) -> Identity | Fault:
    answers: list[Identity | Fault] = []
    refresher.refresh(current, token, answers.append)
    assert answers == [], "answers come later, never from within the call"
    async with asyncio.timeout(5):
        while not answers:
            await asyncio.sleep(0.001)
    await asyncio.sleep(0.01)
    assert len(answers) == 1
    return answers[0]


async def _code(current: Identity, token: str) -> ErrorCode:
    fault = await _answer(_refresher(), current, token)
    assert isinstance(fault, Fault)
    return fault.code


async def test_a_desktop_goes_on_with_its_new_token() -> None:
    answer = await _answer(_refresher(), DESKTOP, sign(desktop_claims(exp=LATER, name="Studio")))
    assert answer == replace(DESKTOP, expires_at=LATER, name="Studio")


@pytest.mark.parametrize("device", ["phone", None])
async def test_a_mobile_goes_on_as_the_device_that_it_is(device: str | None) -> None:
    answer = await _answer(_refresher(), MOBILE, sign(mobile_claims(exp=LATER, device_id=device)))
    assert answer == replace(MOBILE, expires_at=LATER)


@pytest.mark.parametrize(
    ("current", "claims"),
    [
        (DESKTOP, desktop_claims(sub="desk-2")),
        (DESKTOP, desktop_claims(user_id="user-2")),
        (DESKTOP, desktop_claims(aud="mobile")),
        (DESKTOP, mobile_claims()),
        (MOBILE, mobile_claims(sub="user-2")),
        (MOBILE, mobile_claims(device_id="tablet")),
        (MOBILE, desktop_claims(sub="user-1")),
        (replace(MOBILE, device_id=None), mobile_claims(device_id="tablet")),
    ],
)
async def test_somebody_elses_token_is_forbidden(current: Identity, claims: dict[str, object]) -> None:
    assert await _code(current, sign(claims)) is ErrorCode.FORBIDDEN


async def test_a_bad_token_is_answered_with_what_is_wrong() -> None:
    assert await _code(DESKTOP, "junk") is ErrorCode.TOKEN_INVALID
    assert await _code(DESKTOP, sign(desktop_claims(exp=NOW_S - 60))) is ErrorCode.TOKEN_EXPIRED
    assert await _code(DESKTOP, sign(desktop_claims(), SECRET[::-1])) is ErrorCode.TOKEN_INVALID


async def test_keys_are_fetched_for_it() -> None:
    pair = ec_pair()
    with issuer_site(jwks(pair.jwk())) as site:
        refresher = LiveRefresher(TokenVerifier(JwksKeys(site.url, HandClock()), clock=HandClock()))
        assert await _answer(refresher, DESKTOP, pair.sign(desktop_claims(exp=LATER))) == replace(
            DESKTOP, expires_at=LATER
        )
        assert await _answer(refresher, MOBILE, pair.sign(desktop_claims())) == Fault(
            ErrorCode.FORBIDDEN, "this needs a token with aud 'mobile'"
        )
        await refresher.aclose()


async def test_a_bad_token_after_the_fetch_is_answered_too() -> None:
    with issuer_site(b"") as site:
        refresher = LiveRefresher(TokenVerifier(JwksKeys(site.url, HandClock()), clock=HandClock()))
        fault = await _answer(refresher, DESKTOP, ec_pair().sign(desktop_claims()))
        assert isinstance(fault, Fault)
        assert fault.code is ErrorCode.UNAVAILABLE
        assert fault.retry_after_ms


async def test_who_waits_when_the_hub_stops_is_told() -> None:
    with issuer_site(b"") as site:
        site.delay = Event()
        keys = JwksKeys(site.url, HandClock())
        refresher = LiveRefresher(TokenVerifier(keys, clock=HandClock()))
        answers: list[Identity | Fault] = []
        for _ in range(3):
            refresher.refresh(DESKTOP, ec_pair().sign(desktop_claims()), answers.append)
        await refresher.aclose()
        assert [answer.code for answer in answers if isinstance(answer, Fault)] == [ErrorCode.UNAVAILABLE] * 3
        await refresher.aclose()
        await keys.aclose()
        site.delay.set()


async def test_only_so_many_wait_for_keys(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(refresh_module, "MOST_WAITING", 1)
    with issuer_site(b"") as site:
        site.delay = Event()
        keys = JwksKeys(site.url, HandClock())
        refresher = LiveRefresher(TokenVerifier(keys, clock=HandClock()))
        refresher.refresh(DESKTOP, ec_pair().sign(desktop_claims()), lambda answer: None)
        fault = await _answer(refresher, DESKTOP, ec_pair().sign(desktop_claims()))
        assert isinstance(fault, Fault)
        assert fault.code is ErrorCode.UNAVAILABLE
        await refresher.aclose()
        await keys.aclose()
        site.delay.set()


async def test_a_bug_is_logged_and_answered(caplog: pytest.LogCaptureFixture) -> None:
    class Broken(SharedSecrets):
        def find(self, kid: str | None) -> KeyMiss:
            return KeyMiss.NEEDS_FETCH

        async def refresh(self) -> None:
            raise RuntimeError("a bug")

    refresher = LiveRefresher(TokenVerifier(Broken(None), clock=HandClock()))
    token = sign(desktop_claims())
    fault = await _answer(refresher, DESKTOP, token)
    assert isinstance(fault, Fault)
    assert fault.code is ErrorCode.UNAVAILABLE
    assert "a bug" in caplog.text
    assert token not in caplog.text


class Revocations:
    """What is revoked changes as a test goes on."""

    def __init__(self) -> None:
        self.tokens: set[str | None] = set()
        self.devices: set[str | None] = set()

    def cover(self, identity: TokenIdentity) -> bool:
        device = identity.device_id if isinstance(identity, MobileIdentity) else None
        return identity.token_id in self.tokens or (device is not None and device in self.devices)


def _revocable() -> tuple[LiveRefresher, Revocations]:
    revocations = Revocations()
    return LiveRefresher(TokenVerifier(SharedSecrets(SECRET), clock=HandClock(), revocations=revocations)), revocations


async def test_a_revoked_token_refreshes_nothing() -> None:
    refresher, revocations = _revocable()
    revocations.tokens = {"gone"}
    fault = await _answer(refresher, DESKTOP, sign(desktop_claims(jti="gone")))
    assert isinstance(fault, Fault)
    assert (fault.code, "revoked" in fault.text) == (ErrorCode.TOKEN_INVALID, True)
    assert await _answer(refresher, DESKTOP, sign(desktop_claims(jti="other", exp=LATER))) == replace(
        DESKTOP, expires_at=LATER
    )


async def test_a_token_that_is_revoked_before_the_answer_refreshes_nothing() -> None:
    refresher, revocations = _revocable()
    answers: list[Identity | Fault] = []
    refresher.refresh(DESKTOP, sign(desktop_claims(jti="gone")), answers.append)
    revocations.tokens = {"gone"}
    await asyncio.sleep(0)
    [fault] = answers
    assert isinstance(fault, Fault)
    assert fault.code is ErrorCode.TOKEN_INVALID


async def test_a_nameless_token_doesnt_refresh_a_device_that_is_revoked() -> None:
    refresher, revocations = _revocable()
    revocations.devices = {"phone"}
    fault = await _answer(refresher, MOBILE, sign(mobile_claims(exp=LATER)))
    assert isinstance(fault, Fault)
    assert fault.code is ErrorCode.TOKEN_INVALID


async def test_the_connection_goes_on_under_the_new_tokens_name() -> None:
    answer = await _answer(_refresher(), MOBILE, sign(mobile_claims(jti="new", iat=NOW_S - 3, exp=LATER)))
    assert isinstance(answer, MobileIdentity)
    assert (answer.token_id, answer.issued_at) == ("new", NOW_S - 3)
