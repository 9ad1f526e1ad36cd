"""JSON texts as bytes: checked, cut and put on one line, however large, without being built."""

import codecs
import json
import re
from collections.abc import Iterator

import msgspec
from msgspec import Raw

__all__ = [
    "BUILT_BYTES_MAX",
    "check_utf8",
    "is_json",
    "split_object",
    "texts_of",
    "without_line_breaks",
    "without_surrogates",
]

# What is larger is not built into Python objects, which may take thirty times its size.
BUILT_BYTES_MAX = 65_536
# Text is worked on in pieces of this size, for what comes of it may take many times as much.
_PIECE_BYTES = 1 << 14
# All are possessive: none of them is tried again from another place, nor keeps a mark of one.
_SPACES = re.compile(rb"[ \t\r\n]*+")
_STRING = re.compile(rb'"(?:[^"\\]++|\\.)*+"', re.DOTALL)
_SCALAR = re.compile(rb'[^\[{",\]}\s][^,\]}\s]*+')
_STRING_OR_BRACKET = re.compile(rb'"(?:[^"\\]++|\\.)*+"|[\[{]|([\]}])', re.DOTALL)
_COMMA, _CLOSING = b",}"
# Its scanner finds where a value ends; values themselves are not used, so integers stay text.
_scanner = json.JSONDecoder(parse_int=str, parse_float=str)
_object_decoder = msgspec.json.Decoder(dict[str, Raw])
_any_decoder = msgspec.json.Decoder(Raw)


def split_object(text: bytes) -> dict[str, bytes]:
    """Cut a valid JSON object into its values, each byte for byte; slow, for what is rare."""
    if len(text) > BUILT_BYTES_MAX:
        try:
            return _split_large(text)
        except msgspec.DecodeError:
            pass  # It has what only the decoder below takes, such as NaN.
    characters = text.decode()
    values = {}
    position = _skip(characters, characters.index("{") + 1)
    while characters[position] != "}":
        name, position = _scanner.raw_decode(characters, position)
        start = _skip(characters, _skip(characters, position) + 1)
        _, end = _scanner.raw_decode(characters, start)
        values[name] = characters[start:end].encode()
        position = _skip(characters, end)
        if characters[position] == ",":
            position = _skip(characters, position + 1)
    return values


def without_surrogates(text: bytes) -> bytes:
    r"""The JSON text with another letter for each half of a surrogate pair, for the decoder.

    It is as long as before, and valid where it was valid before: `\ud8` becomes `\uc8`. Only the
    texts in it differ, so it serves to tell where values begin and end.
    """
    return text.replace(b"\\ud", b"\\uc").replace(b"\\uD", b"\\uc")


def check_utf8(text: bytes) -> None:
    """Raise UnicodeDecodeError where the text is not UTF-8, without holding all of it as a str."""
    if len(text) <= _PIECE_BYTES:
        text.decode()
    elif not text.isascii():
        for _ in texts_of(text, "strict"):
            pass


def is_json(text: bytes) -> bool:
    """Whether the bytes are one JSON value, in UTF-8 and without lone surrogates."""
    try:
        _any_decoder.decode(text)
        check_utf8(text)
    except (msgspec.DecodeError, RecursionError, UnicodeDecodeError):
        return False
    return True


def texts_of(text: bytes, errors: str) -> Iterator[str]:
    """The text decoded, piece by piece; `errors` as of `bytes.decode`."""
    decoder = codecs.getincrementaldecoder("utf-8")(errors)
    for start in range(0, len(text), _PIECE_BYTES):
        yield decoder.decode(text[start : start + _PIECE_BYTES])
    yield decoder.decode(b"", final=True)


def without_line_breaks(body: bytes) -> Iterator[bytes]:
    """A JSON text without line breaks and the white space around them.

    No string of a JSON text has a raw line break: each stands between two tokens.
    """
    start = 0
    while start < len(body):
        end = start + _PIECE_BYTES
        found = _SPACES.match(body, end)
        spaces = found[0] if found else b""
        # White space is not cut in two, and one line break stands for all of it.
        broken = b"\n" in spaces or b"\r" in spaces
        piece = body[start:end] + (b"\n" if broken else spaces)
        first, *lines = piece.replace(b"\r", b"\n").split(b"\n")
        if lines:
            last = lines.pop().lstrip(b" \t")
            first = b"".join([first.rstrip(b" \t"), *[one.strip(b" \t") for one in lines], last])
        yield first
        start = end + len(spaces)


def _split_large(text: bytes) -> dict[str, bytes]:
    """Cut an object by what its values are as bytes, and build none of them."""
    whole = without_surrogates(text)
    check_utf8(whole)
    last = {name: bytes(value) for name, value in _object_decoder.decode(whole).items()}
    values = {}
    position = _after(_SPACES, whole, whole.index(b"{") + 1)
    while whole[position] != _CLOSING:
        start = position
        position = _after(_STRING, whole, position)
        name = msgspec.json.decode(whole[start:position])
        exact_name = json.loads(text[start:position])
        start = _after(_SPACES, whole, _after(_SPACES, whole, position) + 1)
        end = _end_of_value(whole, start, last[name])
        values[exact_name] = text[start:end]
        position = _after(_SPACES, whole, end)
        if whole[position] == _COMMA:
            position = _after(_SPACES, whole, position + 1)
    return values


def _end_of_value(text: bytes, start: int, last: bytes) -> int:
    """Where a value ends; `last` is the last of this name, mostly the only one."""
    first = text[start : start + 1]
    if first == b'"':
        return _after(_STRING, text, start)
    if first not in b"[{":
        return _after(_SCALAR, text, start)
    # An object or a list is its own end: no other value begins with all of it.
    if text.startswith(last, start):
        return start + len(last)
    depth = 0
    for found in _STRING_OR_BRACKET.finditer(text, start):
        # A string has two marks at least.
        if found.end() - found.start() == 1:
            depth += 1 if found[1] is None else -1
            if not depth:
                return found.end()
    raise ValueError("a value of the object does not end")


def _skip(text: str, position: int) -> int:
    while text[position] in " \t\r\n":
        position += 1
    return position


def _after(pattern: re.Pattern[bytes], text: bytes, position: int) -> int:
    found = pattern.match(text, position)
    assert found is not None
    return found.end()
