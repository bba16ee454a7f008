import asyncio
import logging
from pathlib import Path
from threading import Event

import pytest

from hub.auth.jwks_keys import REFETCH_S, STALE_S, JwksKeys
from hub.auth.keys import KeyMiss, VerificationKey
from tests.unit.hub.auth.support import HandClock, ec_pair, issuer_site, jwks

OLD, NEW = ec_pair("old"), ec_pair("new")


async def test_keys_are_fetched_when_first_needed() -> None:
    with issuer_site(jwks(OLD.jwk())) as site:
        keys = JwksKeys(site.url, HandClock())
        assert keys.find("old") is KeyMiss.NEEDS_FETCH
        await keys.refresh()
        assert isinstance(keys.find("old"), VerificationKey)
        assert keys.find("new") is KeyMiss.UNKNOWN
    assert len(site.asked) == 1


async def test_an_unknown_name_is_asked_for_once_in_30_s() -> None:
    clock = HandClock()
    with issuer_site(jwks(OLD.jwk())) as site:
        keys = JwksKeys(site.url, clock)
        await keys.refresh()
        site.document = jwks(OLD.jwk(), NEW.jwk())
        clock.advance(REFETCH_S - 0.1)
        assert keys.find("new") is KeyMiss.UNKNOWN
        await keys.refresh()
        assert len(site.asked) == 1
        clock.advance(0.1)
        assert keys.find("new") is KeyMiss.NEEDS_FETCH
        await keys.refresh()
        assert isinstance(keys.find("new"), VerificationKey)
    assert len(site.asked) == 2


async def test_all_who_wait_share_one_fetch_and_one_who_leaves_doesnt_end_it() -> None:
    with issuer_site(jwks(OLD.jwk())) as site:
        site.delay = Event()
        keys = JwksKeys(site.url, HandClock())
        waiters = [asyncio.create_task(keys.refresh()) for _ in range(50)]
        await asyncio.sleep(0.05)
        assert keys.find("old") is KeyMiss.NEEDS_FETCH
        waiters[0].cancel()
        await asyncio.wait({waiters[0]})
        site.delay.set()
        await asyncio.gather(*waiters[1:])
        assert isinstance(keys.find("old"), VerificationKey)
    assert len(site.asked) == 1


async def test_a_failed_fetch_says_unavailable_then_is_tried_again(caplog: pytest.LogCaptureFixture) -> None:
    clock = HandClock()
    with issuer_site(b"oops") as site, caplog.at_level(logging.WARNING):
        keys = JwksKeys(site.url, clock)
        await keys.refresh()
        assert keys.find("old") is KeyMiss.UNAVAILABLE
        assert "not usable" in caplog.text
        site.document = jwks(OLD.jwk())
        clock.advance(REFETCH_S)
        assert keys.find("old") is KeyMiss.NEEDS_FETCH
        await keys.refresh()
        assert isinstance(keys.find("old"), VerificationKey)


async def test_keys_in_use_outlive_an_issuer_that_is_down() -> None:
    clock = HandClock()
    with issuer_site(jwks(OLD.jwk())) as site:
        keys = JwksKeys(site.url, clock)
        await keys.refresh()
        site.status = 500
        clock.advance(STALE_S + 1)
        assert isinstance(keys.find("old"), VerificationKey)
        await keys.refresh()
        assert isinstance(keys.find("old"), VerificationKey)
        assert keys.find("new") is KeyMiss.UNAVAILABLE


async def test_a_withdrawn_key_is_refused_once_the_set_is_old() -> None:
    clock = HandClock()
    with issuer_site(jwks(OLD.jwk(), NEW.jwk())) as site:
        keys = JwksKeys(site.url, clock)
        await keys.refresh()
        site.document = jwks(NEW.jwk())
        clock.advance(STALE_S + 1)
        assert isinstance(keys.find("old"), VerificationKey), "nobody waits for a fetch that isn't needed"
        async with asyncio.timeout(5):
            while isinstance(keys.find("old"), VerificationKey):
                await asyncio.sleep(0.001)
        assert keys.find("old") is KeyMiss.UNKNOWN
    assert len(site.asked) == 2


async def test_a_file_is_read_again_for_an_unknown_name(tmp_path: Path) -> None:
    clock = HandClock()
    path = tmp_path / "jwks.json"
    path.write_bytes(jwks(OLD.jwk()))
    keys = JwksKeys(str(path), clock)
    await keys.refresh()
    path.write_bytes(jwks(NEW.jwk()))
    clock.advance(REFETCH_S)
    await keys.refresh()
    assert isinstance(keys.find("new"), VerificationKey)
    assert keys.find("old") is KeyMiss.UNKNOWN


async def test_closing_ends_a_fetch_and_frees_who_waits() -> None:
    with issuer_site(jwks(OLD.jwk())) as site:
        site.delay = Event()
        keys = JwksKeys(site.url, HandClock())
        waiter = asyncio.create_task(keys.refresh())
        await asyncio.sleep(0.02)
        await keys.aclose()
        await asyncio.wait_for(waiter, 1)
        await keys.aclose()
        site.delay.set()


async def test_the_loop_turns_while_keys_are_fetched() -> None:
    with issuer_site(jwks(OLD.jwk())) as site:
        site.delay = Event()
        fetch = asyncio.create_task(JwksKeys(site.url, HandClock()).refresh())
        turns = 0
        while not fetch.done() and turns < 50:
            turns += 1
            await asyncio.sleep(0.001)
        assert turns == 50
        site.delay.set()
        await fetch
