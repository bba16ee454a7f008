"""Which key names (`kid`) are looked at.

A name only ever picks a key that is already here; it never becomes a path or URL.
"""

import re

KID_PATTERN = re.compile(r"[A-Za-z0-9._-]{1,128}|[A-Za-z0-9+/]{43}=")
"""Plain names and base64url; the second form is a SHA-256 in base64, as Amazon Cognito names its keys."""


def is_kid(text: str) -> bool:
    """Tell whether `text` may name a key."""
    return KID_PATTERN.fullmatch(text) is not None
