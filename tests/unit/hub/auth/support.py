"""Keys, tokens and a clock under the tests' control."""

import json
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from threading import Thread
from typing import Any

import jwt
from cryptography.hazmat.primitives.asymmetric import ec, ed25519, rsa

SECRET = "a-secret-for-the-tests-0123456789abcdef"
NOW_S = 1_800_000_000


@dataclass
class HandClock:
    """A clock that stands still until it is moved."""

    now_s: float = NOW_S
    uptime_s: float = 1000.0

    def monotonic(self) -> float:
        return self.uptime_s

    def wall_ms(self) -> int:
        return int(self.now_s * 1000)

    def advance(self, seconds: float) -> None:
        self.now_s += seconds
        self.uptime_s += seconds


def desktop_claims(**changes: object) -> dict[str, object]:
    """Claims of a good Desktop Token; a change to None takes the claim out."""
    claims = {"sub": "desk-1", "user_id": "user-1", "aud": "desktop", "exp": NOW_S + 60, "iat": NOW_S, **changes}
    return {name: value for name, value in claims.items() if value is not None}


def mobile_claims(**changes: object) -> dict[str, object]:
    """Claims of a good User Token; a change to None takes the claim out."""
    claims = {"sub": "user-1", "aud": "mobile", "exp": NOW_S + 60, "iat": NOW_S, **changes}
    return {name: value for name, value in claims.items() if value is not None}


def sign(
    claims: dict[str, object],
    secret: object = SECRET,
    algorithm: str = "HS256",
    kid: str | None = None,
    **header: object,
) -> str:
    """Sign claims as any issuer would, good or bad."""
    headers = {**({} if kid is None else {"kid": kid}), **header}
    return jwt.encode(claims, secret, algorithm=algorithm, headers=headers)  # type: ignore[arg-type]


def segment(value: object) -> str:
    """Encode one part of a token: JSON, or bytes as they are."""
    raw = value if isinstance(value, bytes) else json.dumps(value).encode()
    return jwt.utils.base64url_encode(raw).decode()


@dataclass
class KeyPair:
    """A private key of an issuer, and what its JWKS says of it."""

    private: Any
    algorithm: str
    kid: str | None

    def jwk(self, **changes: object) -> dict[str, Any]:
        method = jwt.get_algorithm_by_name(self.algorithm)
        member = method.to_jwk(self.private.public_key(), as_dict=True)
        member.pop("key_ops", None)
        if self.kid is not None:
            member["kid"] = self.kid
        return {**member, **changes}

    def sign(self, claims: dict[str, object], **header: object) -> str:
        return sign(claims, self.private, self.algorithm, self.kid, **header)


def rsa_pair(kid: str | None = "rsa-1", bits: int = 2048) -> KeyPair:
    return KeyPair(rsa.generate_private_key(public_exponent=65537, key_size=bits), "RS256", kid)


def ec_pair(kid: str | None = "ec-1") -> KeyPair:
    return KeyPair(ec.generate_private_key(ec.SECP256R1()), "ES256", kid)


def ed_pair(kid: str | None = "ed-1") -> KeyPair:
    return KeyPair(ed25519.Ed25519PrivateKey.generate(), "EdDSA", kid)


def jwks(*members: dict[str, Any]) -> bytes:
    """Return a JWKS document."""
    return json.dumps({"keys": list(members)}).encode()


@dataclass
class IssuerSite:
    """What the local HTTP server answers, and what it was asked."""

    url: str
    document: bytes
    status: int = 200
    delay: Any = None
    endless: bool = False
    headers: dict[str, str] = field(default_factory=dict)
    asked: list[dict[str, str]] = field(default_factory=list)


@contextmanager
def issuer_site(document: bytes) -> Iterator[IssuerSite]:
    """Serve a document over HTTP on 127.0.0.1 while the block runs."""

    class Answer(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            site.asked.append(dict(self.headers))
            if site.delay is not None:
                site.delay.wait(10)
            self.send_response(site.status)
            for name, value in site.headers.items():
                self.send_header(name, value)
            self.end_headers()
            try:
                self.wfile.write(site.document)
                while site.endless:
                    self.wfile.write(site.document)
            except OSError:
                self.close_connection = True  # the client had enough

        def log_message(self, *args: object) -> None:
            """Keep the tests' output clean."""

    server = ThreadingHTTPServer(("127.0.0.1", 0), Answer)
    site = IssuerSite(f"http://127.0.0.1:{server.server_port}/jwks.json", document)
    thread = Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01})
    thread.start()
    try:
        yield site
    finally:
        server.shutdown()
        server.server_close()
        thread.join()
