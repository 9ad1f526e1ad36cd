"""Puts the head of an answer right that tells its size twice, as clients in wide use take it."""

import re

__all__ = ["with_one_framing"]

_INTERIM = re.compile(rb"HTTP/1\.[01] 1[0-9][0-9][ \r]")
_FINAL = re.compile(rb"HTTP/1\.[01] [2-9][0-9][0-9][ \r]")
_DIGITS = re.compile(rb"[0-9]{1,18}")


def with_one_framing(raw: bytes) -> bytes | None:
    """The answer with one statement of its size, and without interim answers before it.

    `raw` is what has come so far. Chunks go before a length (RFC 9112, 6.3), equal lengths are
    one, `identity` is no coding. None where that helps nothing: lengths that differ, or another
    fault; empty where the head is not whole yet, and this may help.
    """
    while _INTERIM.match(raw) and b"\r\n\r\n" in raw:
        raw = raw.partition(b"\r\n\r\n")[2]
    head, end, rest = raw.partition(b"\r\n\r\n")
    if not _FINAL.match(head):
        return None
    lengths: list[bytes] = []
    codings: list[bytes] = []
    start, *lines = head.split(b"\r\n")
    kept = [start]
    for line in lines:
        name, _, value = line.partition(b":")
        match name.lower():
            case b"content-length":
                lengths += [one.strip() for one in value.split(b",")]
            case b"transfer-encoding":
                codings += [one.strip() for one in value.split(b",")]
            case _:
                kept.append(line)
    if len(lengths) + len(codings) < 2:
        # Where only one is stated, the next line may state the other.
        return None if end or not lines else b""
    if len(set(lengths)) > 1 or not all(map(_DIGITS.fullmatch, lengths)):
        return None if end else b""
    codings = [one for one in codings if one.lower() != b"identity"]
    if codings:
        kept.append(b"transfer-encoding: " + b", ".join(codings))
    elif lengths:
        kept.append(b"content-length: " + lengths[0])
    return b"\r\n".join(kept) + end + rest if end else b""
