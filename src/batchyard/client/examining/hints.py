"""What no rule forbids and is a mistake all the same, sought beside the scan of a file."""

import re
from collections.abc import Callable, Collection, Iterable, Iterator
from typing import Any

import msgspec
from msgspec import UNSET, Raw, Struct, UnsetType

from batchyard.client.examining.reading import lines_of
from batchyard.rules.validate import Digest
from batchyard.wire.lines import BOM

__all__ = ["Hint", "Hints", "wants_completion_tokens"]

_NEWER = re.compile(r"(?:ft:)?(?:o[1-9](?:-|$)|gpt-(?:[5-9]|[1-9]\d))")
_REASONING = re.compile(r"(?:ft:)?o[1-9](?:-|$)")


def wants_completion_tokens(model: str) -> bool:
    """Whether OpenAI refuses `max_tokens` for a model, and wants `max_completion_tokens`."""
    return _NEWER.match(model) is not None


class Hint(Struct):
    """A likely mistake: how many lines have it, and the first that does."""

    code: str
    message: str
    fix: str
    param: str | None
    line: int
    lines: int = 1


class _Body(Struct, gc=False):
    model: str = ""
    max_tokens: Raw | UnsetType = UNSET
    max_completion_tokens: Raw | UnsetType = UNSET
    temperature: Raw | UnsetType = UNSET
    response_format: Raw | UnsetType = UNSET
    messages: Raw | UnsetType = UNSET
    input: Raw | UnsetType = UNSET


class _Row(Struct, gc=False):
    url: str
    body: _Body


class _Suspicion(Struct, frozen=True):
    """A mistake of lines that hold `sign`; what is around the sign may show that it is none."""

    code: str
    sign: bytes
    found: Callable[[_Row], bool]
    message: str
    fix: str
    param: str
    models: re.Pattern[str] = re.compile("")
    url: str = ""
    openai_models: bool = False
    harmless: re.Pattern[bytes] = re.compile(rb"(?!)")

    def may_be(self, urls: Iterable[str], models: Iterable[str]) -> bool:
        """Whether a file asks for anything that this can be a mistake of."""
        return any(map(self.models.match, models)) and any(url.endswith(self.url) for url in urls)

    def stands_in(self, text: bytes, start: int, stop: int) -> bool:
        """Whether the sign begins between these places, and nothing shows that it is harmless."""
        size = len(self.sign)
        # Where nothing is found, this seeks faster from the right than from the left.
        while (at := text.rfind(self.sign, start, stop + size - 1)) >= 0:
            if not self.harmless.match(text, at + size):
                return True
            stop = at
        return False


def _too_new(row: _Row) -> bool:
    return (
        row.url.endswith("/chat/completions")
        and row.body.max_tokens is not UNSET
        and wants_completion_tokens(row.body.model)
    )


def _chat_word_in_responses(row: _Row) -> bool:
    return row.url.endswith("/responses") and (
        row.body.max_tokens is not UNSET or row.body.max_completion_tokens is not UNSET
    )


def _messages_in_responses(row: _Row) -> bool:
    return row.url.endswith("/responses") and row.body.messages is not UNSET


def _odd_format(row: _Row) -> bool:
    if isinstance(row.body.response_format, UnsetType):
        return False
    wanted: Any = msgspec.json.decode(row.body.response_format)
    if row.url.endswith("/responses"):
        return True
    if wanted is None:
        return False
    if not isinstance(wanted, dict) or "type" not in wanted:
        return True
    return wanted["type"] == "json_schema" and not isinstance(wanted.get("json_schema"), dict)


def _heated(row: _Row) -> bool:
    return (
        not isinstance(row.body.temperature, UnsetType)
        and bytes(row.body.temperature) not in (b"1", b"1.0", b"null")
        and _REASONING.match(row.body.model) is not None
    )


_SUSPICIONS = (
    _Suspicion(
        "max_tokens_unsupported",
        b'"max_tokens"',
        _too_new,
        "Newer models of OpenAI's refuse 'max_tokens'; they want 'max_completion_tokens'.",
        "Rename it; `batchyard fix` does.",
        "body.max_tokens",
        models=_NEWER,
        url="/chat/completions",
        openai_models=True,
    ),
    _Suspicion(
        "unknown_parameter",
        b'_tokens"',
        _chat_word_in_responses,
        "Responses have no 'max_tokens' and no 'max_completion_tokens'; they have "
        "'max_output_tokens'.",
        "Rename it; `batchyard fix` does.",
        "body.max_tokens",
        url="/responses",
        harmless=re.compile(rb'(?<="max_output_tokens")'),
    ),
    _Suspicion(
        "unknown_parameter",
        b'"messages"',
        _messages_in_responses,
        "Responses have no 'messages'; they have 'input'.",
        "Rename it, or ask for '/v1/chat/completions'.",
        "body.messages",
        url="/responses",
    ),
    _Suspicion(
        "response_format_shape",
        b'"response_format"',
        _odd_format,
        "'response_format' is not in the form of its endpoint.",
        "Chat: {'type': 'json_schema', 'json_schema': {...}}; responses: 'text': {'format': ...}.",
        "body.response_format",
        harmless=re.compile(
            rb'\s*+:\s*+(?:null|\{\s*+"type"\s*+:\s*+'
            rb'(?:"(?:text|json_object)"\s*+\}|"json_schema"\s*+,\s*+"json_schema"\s*+:\s*+\{))'
        ),
    ),
    _Suspicion(
        "temperature_unsupported",
        b'"temperature"',
        _heated,
        "Reasoning models of the o series refuse any 'temperature' but 1.",
        "Leave it out.",
        "body.temperature",
        models=_REASONING,
        openai_models=True,
    ),
)
# A sign, and what shows that it is harmless, have no more bytes on either side.
_AROUND_BYTES = 128
_decode = msgspec.json.Decoder(_Row).decode


class Hints:
    """Fed with the chunks of a file, remembers which mistakes it may have."""

    def __init__(self, *, openai_models: bool) -> None:
        self._unlikely = [one for one in _SUSPICIONS if openai_models or not one.openai_models]
        self._sought: list[_Suspicion] = []
        self._due: list[_Suspicion] = []
        # The end of the bytes so far, and from where on in it signs are yet to be sought.
        self._last, self._next = b"", 0
        self._started = False
        self.bom = False

    def feed(self, chunk: bytes, asked: Collection[tuple[str, str]]) -> None:
        """Take the next bytes; lines ask for these urls and models up to the end of them."""
        urls, models = {url for url, _ in asked}, {model for _, model in asked}
        # As long as no line has ended, it may be of any kind.
        likely = [one for one in self._unlikely if not asked or one.may_be(urls, models)]
        if likely:
            self._unlikely = [one for one in self._unlikely if one not in likely]
            # In the chunks before this one their signs were not sought.
            (self._due if self._started else self._sought).extend(likely)
        if not self._started:
            self._started = True
            self.bom = chunk.startswith(BOM)
        self._last += chunk
        self._seek(len(self._last) - _AROUND_BYTES)

    def finish(self, digest: Digest, chunks: Callable[[], Iterable[bytes]]) -> tuple[Hint, ...]:
        """Hints in the order of their first lines; reads the file again where there may be any."""
        self._seek(len(self._last))
        due = [one for one in self._due if one.may_be(digest.urls, digest.models)]
        found: dict[int, Hint] = {}
        if due:
            for number, line in lines_of(chunks()):
                for place in _found_in(line, due):
                    if place in found:
                        found[place].lines += 1
                    else:
                        one = due[place]
                        found[place] = Hint(one.code, one.message, one.fix, one.param, number)
        return tuple(sorted(found.values(), key=lambda hint: hint.line))

    def _seek(self, stop: int) -> None:
        """Seek signs that begin before this place, and forget what is not needed any more."""
        if stop <= self._next:
            return
        for one in tuple(self._sought):
            if one.stands_in(self._last, self._next, stop):
                self._sought.remove(one)
                self._due.append(one)
        cut = max(0, stop - _AROUND_BYTES)
        self._last, self._next = self._last[cut:], stop - cut


def _found_in(line: bytes, due: list[_Suspicion]) -> Iterator[int]:
    row = None
    for place, one in enumerate(due):
        if not one.stands_in(line, 0, len(line)):
            continue
        try:
            row = row or _decode(line)
        except (msgspec.DecodeError, UnicodeDecodeError, RecursionError):
            # What cannot be read is an error, and not for hints to tell.
            return
        if one.found(row):
            yield place
