"""API keys: made here, shown once, kept as a hash."""

import zlib
from hashlib import sha256
from random import Random

from batchyard.places.store.rows import KeyRow
from batchyard.wire.ids import KEY_PREFIX

__all__ = [
    "DEFAULT_PROJECT",
    "hash_secret",
    "key_of",
    "masked",
    "new_secret",
]

DEFAULT_PROJECT = "proj_default"
_ALPHABET = "0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz"


def new_secret(chance: Random) -> str:
    """A new secret: a prefix, 43 random characters (256 bits), a checksum for secret scanners."""
    body = "".join(chance.choices(_ALPHABET, k=43))
    return f"{KEY_PREFIX}{body}{zlib.crc32(body.encode()):08x}"


def key_of(
    secret: str,
    name: str,
    chance: Random,
    now: int,
    *,
    project_id: str = DEFAULT_PROJECT,
    scopes: tuple[str, ...] | None = None,
    expires_at: int | None = None,
) -> KeyRow:
    """The row of a new key with this secret."""
    return KeyRow(
        id=f"key_{chance.getrandbits(64):016x}",
        project_id=project_id,
        name=name,
        hint=masked(secret),
        created_at=now,
        scopes=scopes,
        expires_at=expires_at,
    )


def hash_secret(secret: str) -> str:
    """What is kept of a secret; it has too much entropy to need a slow hash."""
    return sha256(secret.encode("utf-8", "surrogateescape")).hexdigest()


def masked(secret: str) -> str:
    """A secret as it may be shown."""
    shown = "".join(one for one in secret if one.isascii() and one.isprintable())
    if len(shown) < 12:
        return "*" * max(1, len(shown))
    return f"{shown[:4]}{'*' * 8}{shown[-4:]}"
