"""Strings that satisfy a JSON schema."""

import re
from collections.abc import Callable, Mapping
from random import Random
from typing import Any
from uuid import UUID

from batchyard.sim.patterns import match_of
from batchyard.sim.texts import Texts

__all__ = ["make_string"]

_PATTERN_TRIES = 50


def make_string(schema: dict[str, Any], chance: Random, texts: Texts) -> str:
    """A string of the asked format, pattern and length; raises ValueError where it finds none."""
    least, most = schema.get("minLength", 0), schema.get("maxLength")
    pattern = schema.get("pattern")
    if pattern is not None:
        for _ in range(_PATTERN_TRIES):
            made = match_of(pattern, chance)
            fits = least <= len(made) and (most is None or len(made) <= most)
            if fits and re.search(pattern, made):
                return made
        raise ValueError(f"no string for the pattern {pattern}")
    make = _FORMATS.get(schema.get("format", ""))
    return make(chance) if make is not None else texts.words(chance, least, most)


def _date(chance: Random) -> str:
    return f"{chance.randint(2000, 2030)}-{chance.randint(1, 12):02}-{chance.randint(1, 28):02}"


def _time(chance: Random) -> str:
    hour, minute, second = chance.randint(0, 23), chance.randint(0, 59), chance.randint(0, 59)
    return f"{hour:02}:{minute:02}:{second:02}Z"


def _ipv6(chance: Random) -> str:
    return "2001:db8:" + ":".join(f"{chance.getrandbits(16):x}" for _ in range(6))


_FORMATS: Mapping[str, Callable[[Random], str]] = {
    "date-time": lambda chance: f"{_date(chance)}T{_time(chance)}",
    "date": _date,
    "time": _time,
    "duration": lambda chance: f"PT{chance.randint(1, 3600)}S",
    # These names and addresses are set aside for examples.
    "email": lambda chance: f"user{chance.randint(1, 999)}@example.com",
    "hostname": lambda chance: f"host{chance.randint(1, 999)}.example.com",
    "ipv4": lambda chance: f"192.0.2.{chance.randint(1, 254)}",
    "ipv6": _ipv6,
    "uuid": lambda chance: str(UUID(int=chance.getrandbits(128), version=4)),
    "uri": lambda chance: f"https://example.com/{chance.randint(1, 999)}",
}
