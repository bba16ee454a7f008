"""The secret that `hub serve --dev` makes for itself, kept in HUB_DATA_DIR so that other terminals can mint with it."""

import os
import secrets
import stat
from collections.abc import Mapping
from contextlib import suppress
from pathlib import Path

FILE_NAME = "dev-secret"

_RANDOM_BYTES = 32
_MIN_CHARS = 32

KEYS = ("HUB_JWT_SECRET", "HUB_JWT_SECRETS", "HUB_JWT_JWKS")
"""The variables that say what tokens are checked with; the development secret counts only without them."""


class UnsafeDevSecret(Exception):  # noqa: N818 - it names what was found
    """The file is there but can't be trusted; the text says what to do about it."""


def read_dev_secret(data_dir: Path) -> str | None:
    """Return the secret in `data_dir`, or None if there is none.

    Raises:
        UnsafeDevSecret: Others can read or have made the file, or it isn't what `ensure_dev_secret` writes.
        OSError: It can't be read.
    """
    path = data_dir / FILE_NAME
    try:
        descriptor = os.open(path, os.O_RDONLY | os.O_NOFOLLOW | os.O_CLOEXEC | os.O_NONBLOCK)
    except FileNotFoundError:
        return None
    with os.fdopen(descriptor, encoding="ascii", errors="replace") as file:
        _check(path, os.fstat(descriptor))
        secret = file.read().strip()
    if len(secret) < _MIN_CHARS:
        raise UnsafeDevSecret(f"{path} is too short for a secret: delete it, and `hub serve --dev` makes a new one")
    return secret


def ensure_dev_secret(data_dir: Path) -> str:
    """Return the secret in `data_dir`, making it (and the folder) first if there is none. Safe to race.

    Raises:
        UnsafeDevSecret: As `read_dev_secret`.
        OSError: It can't be read or written.
    """
    data_dir.mkdir(mode=0o700, parents=True, exist_ok=True)
    secret = read_dev_secret(data_dir)
    if secret is None:
        _write_once(data_dir / FILE_NAME, secrets.token_urlsafe(_RANDOM_BYTES))
        secret = read_dev_secret(data_dir)
    if secret is None:
        raise FileNotFoundError(data_dir / FILE_NAME)
    return secret


def with_dev_secret(environ: Mapping[str, str]) -> dict[str, str]:
    """Return `environ`, with the secret of `HUB_DATA_DIR` as `HUB_JWT_SECRET` if no key is set in it and there is one.

    Raises:
        UnsafeDevSecret: As `read_dev_secret`.
        OSError: It can't be read.
    """
    variables = dict(environ)
    if not any(variables.get(name) for name in KEYS):
        secret = read_dev_secret(Path(variables.get("HUB_DATA_DIR") or "data"))
        if secret is not None:
            variables["HUB_JWT_SECRET"] = secret
    return variables


def _check(path: Path, status: os.stat_result) -> None:
    if not stat.S_ISREG(status.st_mode):
        raise UnsafeDevSecret(f"{path} is not a plain file")
    if status.st_uid != os.geteuid():
        raise UnsafeDevSecret(f"{path} belongs to another user")
    if status.st_mode & (stat.S_IRWXG | stat.S_IRWXO):
        raise UnsafeDevSecret(f"{path} is open to other users: chmod 600 it, or delete it for a new one")


def _write_once(path: Path, secret: str) -> None:
    """Put the whole file there in one step; if another process was faster, its file stays."""
    draft = path.with_name(f".{FILE_NAME}.{os.getpid()}.{secrets.token_hex(4)}")
    descriptor = os.open(draft, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o600)
    try:
        with os.fdopen(descriptor, "w", encoding="ascii") as file:
            file.write(secret + "\n")
        with suppress(FileExistsError):
            os.link(draft, path)
    finally:
        draft.unlink()
