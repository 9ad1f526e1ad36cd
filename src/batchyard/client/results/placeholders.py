"""Placeholders, tags and addresses in a text, which a translation of it must still hold."""

import re
from collections import Counter
from collections.abc import Iterable, Iterator

__all__ = ["lost", "placeholders_in"]

_FOUND = re.compile(
    r"(?P<double>\{\{.*?\}\}|\{%.*?%\})"
    # ICU with words of its own, which are to be translated: what comes before them counts.
    r"|(?P<icu>\{\s*\w+\s*,\s*(?:plural|select|selectordinal)\s*,)"
    r"|(?P<field>\$?\{(?:[^\W\d][\w.\[\]]*|\d*)(?:![rsa])?(?::[^\s{}]*)?(?:\s*,\s*[^{}]*)?\})"
    r"|(?P<printf>%(?:\(\w+\))?(?:\d+\$)?[-+#0]*(?:\d+|\*)?(?:\.\d+)?(?:hh?|ll?|z)?"
    r"[diouxXeEfFgGcrsa@](?![A-Za-z]))"
    r"|(?P<tag>(?P<name></?[A-Za-z][\w:-]*)(?=[\s/>])[^<>]*>)"
)
_ADDRESS = re.compile(r"https?://[^\s<>\"'()\[\]{}|\\^`]+")
_BLANK = re.compile(r"\s+")
_POSITION = re.compile(r"\d+\$")
_STOPS = ".,;:!?…。，"


def placeholders_in(text: str) -> tuple[str, ...]:
    """What a translation of a text must hold, in one spelling each, as often as it must."""
    return (*_marks(text), *(one.rstrip(_STOPS) for one in _ADDRESS.findall(text)))


def lost(wanted: Iterable[str], answer: str) -> tuple[str, ...]:
    """Those that an answer lacks, or has too rarely.

    What is named may come once for all; `%s` and tags have no name, and come as often as before.
    """
    missing = []
    there = Counter(_marks(answer))
    # `%2$s` stands for any `%s`, so that a translation may change their order.
    there.update(_POSITION.sub("", one) for one in list(there.elements()) if "$" in one)
    for one, times in Counter(wanted).items():
        found = int(one in answer) if one.startswith("http") else there[one]
        if found < (times if one[0] in "%<" or one == "{}" else 1):
            missing.append(one)
    return tuple(missing)


def _marks(text: str) -> Iterator[str]:
    end = 0
    for found in _FOUND.finditer(text):
        if found.start() < end:
            continue
        told = _BLANK.sub("", found[0])
        if found["icu"]:
            end = _closed(text, found.start())
        # What stands in a tag may be words too, as a title is.
        yield f"{found['name']}>" if found["tag"] else told


def _closed(text: str, start: int) -> int:
    """Where what a brace opens ends."""
    depth = 0
    for place in range(start, len(text)):
        depth += {"{": 1, "}": -1}.get(text[place], 0)
        if not depth:
            return place + 1
    return len(text)
