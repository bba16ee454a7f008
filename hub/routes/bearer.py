"""The token in a request's `Authorization` header (RFC 6750, section 2.1)."""

from sanic import Request


def bearer_token(request: Request) -> str | None:
    """Return the token of `Authorization: Bearer TOKEN`, or None if there is none."""
    scheme, _, token = request.headers.getone("authorization", "").partition(" ")
    return str(token).strip() if scheme.lower() == "bearer" and token else None
