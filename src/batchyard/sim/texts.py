"""Words to answer with, and how many tokens they are."""

from random import Random
from typing import Any

__all__ = ["Texts", "count_tokens", "cut", "input_tokens"]

_PARAGRAPHS = 512
# Short words that go together anyhow.
_WORDS = """
about above across after again along always among answer batch because before begin behind below
better between beyond bridge bright broad carry certain change clear close cloud coast common
count course cover day deep deliver distance draw early east easy empty end enough even every fair
far fast few field file find first flow follow form forward found full gather gentle give go good
grain ground grow hand harbour heavy high hold hour house hundred keep kind know lane large last
late learn leave length less let light line little load long look low make many mark measure meet
middle mile mill model moment more morning most move name narrow near never next night north
number often old open order other over own part pass path piece place plain point quick quiet rain
reach read ready rest result return river road room round run same sand save second see send set
shape share ship shore short show side simple slow small some south start stay steady step still
stone store story stream strong take tell thing think through tide time together toward town track
travel true turn under until up use valley very wait walk water way west where while white whole
wide wind winter within without word work world write yard year yellow
"""


class Texts:
    """Prose that a seed decides; it has no quotes and no letters beyond ASCII."""

    def __init__(self, seed: int) -> None:
        chance = Random(seed)
        self._words = _WORDS.split()
        self._paragraphs = [_paragraph(chance, self._words) for _ in range(_PARAGRAPHS)]

    def answer(self, number: int) -> str:
        """About 400 characters; no other number has the same text."""
        return f"Simulated answer {number:016x}. {self._paragraphs[number % _PARAGRAPHS]}"

    def words(self, chance: Random, least: int, most: int | None) -> str:
        """A few words of prose, of at least and at most so many characters."""
        text = " ".join(chance.choices(self._words, k=chance.randint(2, 5)))
        while len(text) < least:
            text += " " + chance.choice(self._words)
        wanted = max(least, min(len(text), most if most is not None else len(text)))
        text = text[:wanted]
        return text[:-1] + "s" if text.endswith(" ") else text


def count_tokens(text: str) -> int:
    """Tokens of a text: a quarter of its bytes, rounded up."""
    return -(-_count_bytes(text) // 4)


def cut(text: str, tokens_max: int | None) -> tuple[str, int, bool]:
    """As much of the text as may be written, its tokens, and whether it is all of it."""
    tokens = count_tokens(text)
    if tokens_max is None or tokens <= tokens_max:
        return text, tokens, True
    shorter = text.encode("utf-8", "replace")[: 4 * tokens_max].decode("utf-8", "ignore")
    return shorter, count_tokens(shorter), False


def input_tokens(value: Any) -> int:
    """Tokens of an input in any form: a text, token ids, messages, parts of a message."""
    return -(-_bytes_within(value) // 4)


def _bytes_within(value: Any) -> int:
    if isinstance(value, str):
        return _count_bytes(value)
    size = 0
    if isinstance(value, list):
        for one in value:
            size += _bytes_within(one)
    elif isinstance(value, dict):
        for key, one in value.items():
            if key in _TEXT_KEYS:
                size += _bytes_within(one)
    elif isinstance(value, int):
        # A token id is one token, which is four bytes here.
        size = 4
    return size


_TEXT_KEYS = frozenset({"content", "text", "output", "arguments"})


def _count_bytes(text: str) -> int:
    return len(text) if text.isascii() else len(text.encode("utf-8", "surrogatepass"))


def _paragraph(chance: Random, all_words: list[str]) -> str:
    sentences: list[str] = []
    wanted = chance.randint(300, 500)
    while sum(map(len, sentences)) < wanted:
        words = chance.choices(all_words, k=chance.randint(5, 14))
        sentences.append(" ".join(words).capitalize() + ".")
    return " ".join(sentences)
