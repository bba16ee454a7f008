import logging
from pathlib import Path
from threading import Event

import pytest

from hub.auth import jwks_source
from hub.auth.jwks_source import MOST_BYTES, FetchError, fetch_document
from tests.unit.hub.auth.support import issuer_site


async def test_a_file_is_read(tmp_path: Path) -> None:
    path = tmp_path / "jwks.json"
    path.write_bytes(b"{}")
    assert await fetch_document(str(path)) == b"{}"


async def test_a_url_is_fetched_uncompressed() -> None:
    with issuer_site(b"{}") as site:
        assert await fetch_document(site.url) == b"{}"
    assert site.asked[0]["Accept-Encoding"] == "identity"


async def test_the_url_is_never_logged(caplog: pytest.LogCaptureFixture) -> None:
    with issuer_site(b"{}") as site, caplog.at_level(logging.DEBUG):
        await fetch_document(site.url + "?token=c4nary")
    assert "c4nary" not in caplog.text


async def test_a_missing_file_is_an_error(tmp_path: Path) -> None:
    with pytest.raises(FetchError, match="No such file"):
        await fetch_document(str(tmp_path / "none"))


async def test_too_large_a_file_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "jwks.json"
    path.write_bytes(b" " * (MOST_BYTES + 1))
    with pytest.raises(FetchError, match="larger"):
        await fetch_document(str(path))


async def test_too_large_an_answer_is_refused() -> None:
    with issuer_site(b" " * 4096) as site:
        site.endless = True
        with pytest.raises(FetchError, match="larger"):
            await fetch_document(site.url)


@pytest.mark.parametrize("status", [204, 301, 404, 500])
async def test_another_status_is_an_error(status: int) -> None:
    with issuer_site(b"") as site:
        site.status = status
        site.headers = {"Location": "http://127.0.0.1:1/elsewhere"}
        with pytest.raises(FetchError, match=str(status)):
            await fetch_document(site.url)


async def test_silence_ends_at_the_deadline(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(jwks_source, "FETCH_DEADLINE_S", 0.1)
    with issuer_site(b"{}") as site:
        site.delay = Event()
        try:
            with pytest.raises(FetchError):
                await fetch_document(site.url)
        finally:
            site.delay.set()


@pytest.mark.parametrize("url", ["http://127.0.0.1:1/x", "http://user:hunter2@127.0.0.1:1/x", "http://[/x"])
async def test_an_unreachable_url_is_an_error_that_never_shows_it(url: str) -> None:
    with pytest.raises(FetchError) as caught:
        await fetch_document(url)
    assert "hunter2" not in str(caught.value)
    assert "127.0.0.1" not in str(caught.value)
