"""Texts that match a regular expression, of the plain kind that schemas use."""

from collections.abc import Sequence
from random import Random
from string import ascii_letters, digits

__all__ = ["match_of"]

# How many more than it must a `*`, a `+` or a `{2,}` repeats at most.
_MORE = 4
_PRINTABLE = [chr(code) for code in range(0x20, 0x7F)]
_SETS: dict[str, Sequence[str]] = {
    "d": digits,
    "w": ascii_letters + digits + "_",
    "s": " ",
    "D": ascii_letters,
    "W": "-.,:",
    "S": ascii_letters + digits,
}
_CONTROLS = {"n": "\n", "t": "\t", "r": "\r"}


def match_of(pattern: str, chance: Random) -> str:
    """A text that should match; the caller looks whether it does.

    Knows literals, classes, groups, alternatives, repeats and anchors; raises ValueError for
    anything beyond, such as looking ahead.
    """
    reader = _Reader(pattern, chance)
    made = reader.alternatives()
    if not reader.is_at_end():
        raise ValueError(f"no end of a group in the pattern {pattern}")
    return made


class _Reader:
    """Reads a pattern from left to right; what it reads it makes at once."""

    def __init__(self, pattern: str, chance: Random) -> None:
        self._pattern = pattern
        self._chance = chance
        self._at = 0

    def is_at_end(self) -> bool:
        return self._at == len(self._pattern)

    def alternatives(self) -> str:
        made = [self._sequence()]
        while self._take("|"):
            made.append(self._sequence())
        return self._chance.choice(made)

    def _sequence(self) -> str:
        made = ""
        while not self.is_at_end() and self._pattern[self._at] not in "|)":
            made += self._repeated()
        return made

    def _repeated(self) -> str:
        start = self._at
        once = self._atom()
        end = self._at
        count = self._chance.randint(*self._repeats())
        after, made = self._at, once if count else ""
        for _ in range(count - 1):
            # Every repeat reads the atom again, so that `[a-z]{3}` is not `aaa`.
            self._at = start
            made += self._atom()
            assert self._at == end
        self._at = after
        return made

    def _atom(self) -> str:
        letter = self._next()
        if letter in "^$":
            return ""
        if letter == ".":
            return self._chance.choice(ascii_letters)
        if letter == "[":
            return self._chance.choice(self._class())
        if letter == "(":
            return self._group()
        if letter == "\\":
            return self._escape()
        if letter in "*+?":
            raise ValueError(f"nothing to repeat in the pattern {self._pattern}")
        return letter

    def _group(self) -> str:
        if self._take("?") and not self._take(":"):
            raise ValueError(f"a special group in the pattern {self._pattern}")
        made = self.alternatives()
        if not self._take(")"):
            raise ValueError(f"no end of a group in the pattern {self._pattern}")
        return made

    def _escape(self) -> str:
        letter = self._next()
        if letter in "bB":
            return ""
        if letter in _SETS:
            return self._chance.choice(_SETS[letter])
        if letter.isalnum() and letter not in _CONTROLS:
            raise ValueError(f"the escape \\{letter} in the pattern {self._pattern}")
        return _CONTROLS.get(letter, letter)

    def _class(self) -> Sequence[str]:
        is_negative = self._take("^")
        members: list[str] = []
        while not self._take("]") or not members:
            letter = self._next()
            if letter == "\\":
                letter = self._next()
                if letter in _SETS:
                    members += _SETS[letter]
                    continue
                letter = _CONTROLS.get(letter, letter)
            if self._pattern[self._at : self._at + 1] == "-" and not self._is_last_dash():
                self._at += 1
                last = self._next()
                last = self._next() if last == "\\" else last
                members += [chr(code) for code in range(ord(letter), ord(last) + 1)]
            else:
                members.append(letter)
        return [one for one in _PRINTABLE if one not in members] if is_negative else members

    def _is_last_dash(self) -> bool:
        return self._pattern[self._at + 1 : self._at + 2] == "]"

    def _repeats(self) -> tuple[int, int]:
        for sign, least, most in (("*", 0, _MORE), ("+", 1, 1 + _MORE), ("?", 0, 1)):
            if self._take(sign):
                self._take("?")
                return least, most
        if not self._take("{"):
            return 1, 1
        text, _, _ = self._pattern[self._at :].partition("}")
        self._at += len(text) + 1
        self._take("?")
        first, comma, last = text.partition(",")
        if not comma:
            return int(first), int(first)
        least = int(first or "0")
        return least, int(last) if last else least + _MORE

    def _take(self, letter: str) -> bool:
        if self._pattern.startswith(letter, self._at):
            self._at += 1
            return True
        return False

    def _next(self) -> str:
        if self.is_at_end():
            raise ValueError(f"no end in the pattern {self._pattern}")
        self._at += 1
        return self._pattern[self._at - 1]
