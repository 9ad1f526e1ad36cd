"""What a result becomes beside its row: columns, the same for every row."""

import json
from collections.abc import Callable, Container, Mapping
from datetime import date, datetime, time
from decimal import Decimal
from typing import Any

import msgspec
from msgspec import Struct

from batchyard.client.building.packing import floats
from batchyard.client.building.schema import format_of, read_as
from batchyard.client.results.answering import flat, flat_names
from batchyard.client.results.outcomes import texts_of
from batchyard.client.results.results import Result, facts_of
from batchyard.wire.money import PICODOLLARS, Price, Spent

__all__ = ["Columns", "PriceOf"]

# Beside the answer itself, with DuckDB's types; `outcome` is one of the six words.
FACTS = {
    "outcome": "VARCHAR",
    "error": "VARCHAR",
    "input_tokens": "BIGINT",
    "output_tokens": "BIGINT",
    "cost_usd": "DOUBLE",
}
_TYPED = (datetime, date, time, Decimal, bytes)

PriceOf = Callable[[str], Price | None]


class Columns:
    """How results are told as columns.

    Of a `shape` (a Pydantic model, dataclass, TypedDict or JSON Schema) every field is a column;
    without one, what `like` has, a result that succeeded, says what answers are. Dollars are
    those of a batch, and None where no price is known.
    """

    def __init__(self, shape: Any, like: Result | None, price_of: PriceOf | None) -> None:
        self._shape, self._price_of = shape, price_of
        self._fields = frozenset[str]()
        self._name, own = "answer", tuple[str, ...]()
        if shape is not None:
            own = flat_names(format_of(shape, strict=False).schema)
            self._fields = frozenset(own)
        elif like is not None:
            self._name = _kind_of(like.body)
        own = own or (self._name,)
        self._facts = {one: _free(one, own) for one in FACTS}
        self.names: tuple[str, ...] = (*own, *self._facts.values())
        self._empty: dict[str, Any] = dict.fromkeys(self.names)

    def of(self, result: Result, part: int = 0, parts: int = 1) -> dict[str, Any]:
        """The columns of a result, or of one of the parts of a line that has many."""
        told = self._empty.copy()
        body = (self._name == "answer" and _plain_body(result)) or result.body
        outcome, error = str(result.outcome), _error_of(result)
        if result.succeeded:
            try:
                told |= self._answer(body, part)
            except (ValueError, LookupError, TypeError, AttributeError) as fault:
                outcome, error = "invalid_output", str(fault) or repr(fault)
        facts = self._facts
        told[facts["outcome"]], told[facts["error"]] = outcome, error
        spent = self._spent(result, body, part, parts)
        if spent is not None:
            told[facts["input_tokens"]] = spent.input_tokens
            told[facts["output_tokens"]] = spent.output_tokens
            if spent.price is not None:
                told[facts["cost_usd"]] = spent.picodollars / PICODOLLARS
        return told

    @property
    def types(self) -> dict[str, str]:
        """DuckDB's types of those columns whose types are known."""
        return {name: FACTS[fact] for fact, name in self._facts.items()}

    def missing(self) -> dict[str, Any]:
        """The columns of a row for which there is no result."""
        return self._empty | {self._facts["outcome"]: "missing", self._facts["error"]: "no result"}

    def _answer(self, body: Any, part: int) -> dict[str, Any]:
        if self._shape is None:
            return {self._name: _READ[self._name](body, part)}
        text = _first_text(body)
        if text is None:
            raise ValueError("The answer has no text.")
        value = _plain(read_as(self._shape, text))
        return flat(value, self._fields) if self._fields else {self._name: value}

    def _spent(self, result: Result, body: Any, part: int, parts: int) -> Spent | None:
        facts = facts_of(result)
        if facts is None or not facts.total_tokens:
            return None
        price = None
        if self._price_of is not None:
            model = body.get("model", "") if isinstance(body, dict) else getattr(body, "model", "")
            price = self._price_of(str(model))
        return Spent(
            model="",
            input_tokens=_share(facts.input_tokens, part, parts),
            cached_tokens=_share(facts.cached_tokens, part, parts),
            output_tokens=_share(facts.output_tokens, part, parts),
            price=price,
        )


class _Message(Struct, gc=False):
    content: str


class _Choice(Struct, gc=False):
    message: _Message


class _Chat(Struct, gc=False):
    choices: list[_Choice]
    model: str = ""


class _Response(Struct, gc=False):
    body: _Chat


def _plain_body(result: Result) -> _Chat | None:
    """The body of a chat completion that is nothing but text, as most are."""
    try:
        body = _plainly(result.response).body
    except (msgspec.DecodeError, UnicodeDecodeError):
        return None
    return body if body.choices else None


def _first_text(body: Any) -> str | None:
    if isinstance(body, _Chat):
        return body.choices[0].message.content
    return next(texts_of(body), None)


def _free(name: str, others: Container[str]) -> str:
    while name in others:
        name = f"answer_{name}"
    return name


def _kind_of(body: Any) -> str:
    """What answers like this one are."""
    found = body if isinstance(body, dict) else {}
    for key, mark, name in (
        ("data", "embedding", "embedding"),
        ("data", "url", "image"),
        ("data", "b64_json", "image"),
        ("results", "flagged", "flagged"),
    ):
        many = found.get(key)
        if isinstance(many, list) and many and isinstance(many[0], dict) and mark in many[0]:
            return name
    return "answer"


def _text(body: Any, _part: int) -> str | None:
    """The text; what has none, as calls of tools, is told as JSON."""
    text = _first_text(body)
    if text is not None or not isinstance(body, dict):
        return text
    choices = body.get("choices")
    if isinstance(choices, list) and choices and isinstance(choices[0], dict):
        body = choices[0].get("message", choices[0])
    return json.dumps(body.get("output", body), ensure_ascii=False)


def _vector(body: Any, part: int) -> list[float]:
    found = next((one for one in body["data"] if one.get("index", 0) == part), None)
    if found is None:
        raise ValueError(f"The answer has no vector {part}.")
    return floats(found["embedding"])


def _image(body: Any, _part: int) -> Any:
    return body["data"][0].get("url") or body["data"][0].get("b64_json")


def _flagged(body: Any, _part: int) -> Any:
    return body["results"][0]["flagged"]


_READ: dict[str, Callable[[Any, int], Any]] = {
    "answer": _text,
    "embedding": _vector,
    "image": _image,
    "flagged": _flagged,
}


def _error_of(result: Result) -> str | None:
    if result.succeeded:
        return None
    return ": ".join(filter(None, (result.code, result.message))) or result.outcome


def _share(count: int, part: int, parts: int) -> int:
    """A part of tokens that belong to many, so that all parts add up."""
    if parts == 1:
        return count
    share, rest = divmod(count, parts)
    return share + (part < rest)


def _plain(value: Any) -> Any:
    """A value of any shape as dicts, lists and what tables have kinds for."""
    if hasattr(value, "model_dump"):
        return value.model_dump()
    if isinstance(value, Mapping):
        return value
    return msgspec.to_builtins(value, builtin_types=_TYPED)


_plainly = msgspec.json.Decoder(_Response).decode
