"""Where an upstream is, and the head of a request to it."""

import re
import unicodedata
from collections.abc import Mapping
from urllib.parse import urlsplit

import msgspec

from batchyard import __version__

__all__ = ["AUTHORIZATION", "BaseUrl", "head_for", "header_fault", "usable_key"]

AUTHORIZATION = "authorization"

_PORTS = {"http": 80, "https": 443}
# Compiled where they are needed: not every upstream has headers of its own.
_TOKEN = r"[!#$%&'*+.^_`|~0-9A-Za-z-]+"
_PATH = r"(/[!-~]*)?"
_HOST = r"[0-9A-Za-z._-]+|[0-9A-Fa-f:.]+(%[0-9A-Za-z._-]+)?"
_VALUE = r"[\t -~\x80-\xff]*"
# A person may have another say who asks, and for which form of an answer.
_MAY_BE_SET = frozenset({"user-agent", "accept"})
_OWN = frozenset(
    {
        "host",
        "accept-encoding",
        "connection",
        "content-type",
        "content-length",
        "transfer-encoding",
    }
)
# What editors and shells leave around a key; a byte order mark is no white space for Python.
_AROUND_KEYS = "\ufeff\u200b\u2060"


class BaseUrl(msgspec.Struct, frozen=True):
    """A base URL, taken apart; `path` is empty or begins with a slash and ends with none."""

    scheme: str
    host: str
    port: int
    path: str

    @classmethod
    def parse(cls, text: str) -> "BaseUrl":
        """Read a base URL; ValueError says what is wrong with it and never shows a password."""
        try:
            parts = urlsplit(text)
            port = parts.port
        except ValueError as error:
            raise ValueError(f"This is not a URL that can be read: {error}.") from None
        if parts.username is not None or parts.password is not None:
            raise ValueError("A base URL must hold no user name or password; give the key apart.")
        if parts.scheme not in _PORTS:
            raise ValueError(f"Base URL {text!r} must begin with http:// or https://.")
        if parts.query or parts.fragment or "?" in text or "#" in text:
            # What stands there may be a key.
            raise ValueError("A base URL must have no query and no fragment, from ? or # on.")
        host = parts.hostname
        if not host or not re.fullmatch(_HOST, host):
            raise ValueError(f"Base URL {text!r} must name a host (non-ASCII ones in punycode).")
        if port == 0:
            raise ValueError(f"Base URL {text!r} must name a port from 1 to 65535.")
        path = parts.path.rstrip("/")
        if not re.fullmatch(_PATH, path):
            raise ValueError(f"The path of base URL {text!r} must be ASCII without spaces.")
        return cls(parts.scheme, host, port or _PORTS[parts.scheme], path)

    @property
    def authority(self) -> str:
        """Host and port as a `host` header has them: without the port that goes without saying."""
        host = f"[{self.host.partition('%')[0]}]" if ":" in self.host else self.host
        return host if self.port == _PORTS[self.scheme] else f"{host}:{self.port}"


def head_for(
    base_url: str,
    method: str,
    path: str,
    extra_headers: Mapping[str, str],
    content_type: str = "application/json",
) -> bytes:
    r"""A request head up to the value of its last header, the content length.

    `path` is appended to that of the base URL. Append ``b"%d\r\n\r\n" % len(body)`` for the whole.
    ValueError names a bad header and never shows its value, for that may be a key.
    """
    url = BaseUrl.parse(base_url)
    if not path.startswith("/") or not re.fullmatch(_PATH, path):
        raise ValueError(f"Path {path!r} must begin with a slash and be ASCII without spaces.")
    headers = {
        "host": url.authority,
        "user-agent": f"batchyard/{__version__}",
        "accept": "application/json",
        "accept-encoding": "identity",
        "connection": "keep-alive",
        "content-type": content_type,
    }
    for name, value in extra_headers.items():
        if fault := header_fault(name, value):
            raise ValueError(fault)
        if name.lower() in _MAY_BE_SET:
            headers.pop(name.lower(), None)
    lines = [f"{method} {url.path}{path} HTTP/1.1"]
    lines += [f"{name}: {value}" for name, value in {**headers, **extra_headers}.items()]
    return "\r\n".join([*lines, "content-length: "]).encode("latin-1")


def header_fault(name: str, value: str) -> str | None:
    """Why a request may not have this header beside our own; never shows the value."""
    if name.lower() in _OWN:
        return f"Header {name!r} is written by Batchyard itself."
    if not re.fullmatch(_TOKEN, name):
        return f"Header name {name!r} has a character that names must not have."
    if not re.fullmatch(_VALUE, value):
        return f"The value of header {name!r} has a line break or another bad sign."
    return None


def usable_key(text: str, place: str) -> str:
    """A key without what editors leave around it; ValueError names its place, never the key."""
    key = text.strip().strip(_AROUND_KEYS).strip()
    for number, character in enumerate(key, 1):
        if not " " <= character <= "~":
            raise ValueError(
                f"The key from {place} has a character that a key cannot have: number {number} of "
                f"{len(key)} is {_name_of(character)}. Copy the key anew, and nothing else."
            )
    return key


def _name_of(character: str) -> str:
    if character in "\r\n":
        return "a line feed"
    return f"U+{ord(character):04X} ({unicodedata.name(character, 'a control character')})"
