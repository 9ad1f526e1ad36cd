"""Where a report reads: merged results or output files line by line, and a campaign's folder."""

import json
from collections import Counter
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any, NamedTuple

import msgspec
from msgspec import Raw, Struct

from batchyard.client.campaigns.beginning import read_manifest
from batchyard.client.campaigns.intents import Diary
from batchyard.client.examining.reading import placed_lines
from batchyard.client.report.answers import closed_fields
from batchyard.client.report.facts import Asked, Planned
from batchyard.client.results.outcomes import OUTCOMES
from batchyard.client.results.results import result_of
from batchyard.wire.lines import RequestLine, read_line, split_object

__all__ = [
    "Line",
    "NoResultsError",
    "Plan",
    "asked_of",
    "base_url_of",
    "body_of",
    "plan_of",
    "question_of",
    "read_lines",
    "request_of",
]

_FIRST_CHARACTERS = 6_000
_PLANNED_MAX = 60
# What a request says with these is shown apart, or is no parameter.
_APART = frozenset({"model", "messages", "input", "prompt", "instructions", "response_format"})
_TEXT_PARAMETER_CHARACTERS = 120


class NoResultsError(Exception):
    """There are no results to report of yet."""


class Plan(NamedTuple):
    """The first batches, how many there are in how many rounds, and the requests by url."""

    planned: tuple[Planned, ...] = ()
    batches: int = 0
    rounds: int = 1
    endpoints: Mapping[str, int] = {}


class Line(Struct, frozen=True, gc=False):
    """One result: how it ended, why, how often it was asked, and the body of its answer."""

    custom_id: str
    outcome: str
    code: str
    message: str
    tries: int
    body: bytes | None


class _Tried(Struct, gc=False):
    code: str = ""
    message: str = ""


class _Response(Struct, gc=False):
    body: Raw = Raw(b"null")


class _Written(Struct, gc=False):
    custom_id: str
    outcome: str = ""
    response: _Response | None = None
    attempts: list[_Tried] = []


_decode = msgspec.json.Decoder(_Written).decode


def read_lines(path: Path) -> Iterator[Line | None]:
    """The lines of merged results, or of an output or error file; None for what is neither."""
    for _, line in placed_lines(path):
        yield _read(line)


def request_of(line: bytes) -> RequestLine | None:
    """A request; None where it cannot be read."""
    try:
        return read_line(line)
    except (ValueError, KeyError, RecursionError, msgspec.DecodeError):
        return None


def body_of(request: RequestLine | None) -> dict[str, Any]:
    """What a request asks; empty where that cannot be read."""
    if request is None:
        return {}
    try:
        found = json.loads(bytes(request.body))
    except (ValueError, RecursionError):
        return {}
    return found if isinstance(found, dict) else {}


def question_of(body: Mapping[str, Any]) -> str:
    """What a request asks, without what all requests are told."""
    for name in ("messages", "input"):
        if isinstance(listed := body.get(name), list):
            told = [one for one in listed if isinstance(one, dict)]
            asked = [one for one in told if one.get("role") == "user"] or told
            return _text_in(asked[-1].get("content")) if asked else _text_in(listed)
    return _text_in(body.get("input", body.get("prompt", "")))


def asked_of(folder: Path) -> tuple[Asked | None, dict[str, tuple[str, ...]]]:
    """What a campaign asks, and the labels that its first request's schema lists by field."""
    if not (folder / "campaign.json").exists():
        return None, {}
    manifest = read_manifest(folder)
    first = next((request_of(line) for _, line in placed_lines(folder / "input.jsonl")), None)
    body = body_of(first)
    asked = Asked(
        base_url=manifest.settings.base_url,
        window=manifest.settings.window,
        endpoints={},
        models={},
        parameters=_parameters(body),
        instructions=_instructions(body),
        first_id="" if first is None else first.custom_id,
        first=_pretty({name: one for name, one in body.items() if name not in _SCHEMATIC})
        if body
        else "",
        schema=_pretty(_schema(body)) if _schema(body) else "",
        sha256=manifest.input_sha256,
    )
    return asked, closed_fields(body)


def base_url_of(source: Path) -> str:
    """The server that a campaign asks; empty for a file of results."""
    is_campaign = (source / "campaign.json").exists()
    return read_manifest(source).settings.base_url if is_campaign else ""


def plan_of(folder: Path) -> Plan:
    """A campaign's plan, as far as it was carried out."""
    diary = Diary(folder, alone=False)
    endpoints: Counter[str] = Counter()
    for one in diary.chunks:
        endpoints[one.url] += one.lines if one.round == 1 else 0
    planned = tuple(
        Planned(
            name=one.name,
            round=one.round,
            url=one.url,
            requests=one.lines,
            tokens=one.tokens,
            status=one.status,
            batch_id=one.batch_id[:200] if one.batch_id else None,
            created_at=one.created_at,
            ended_at=one.ended_at,
            trouble=f"{one.errors[0].code}: {one.errors[0].message}"[:300] if one.errors else "",
        )
        for one in diary.chunks[:_PLANNED_MAX]
    )
    return Plan(planned, len(diary.chunks), diary.rounds, endpoints)


def _read(line: bytes) -> Line | None:
    try:
        found = _decode(line)
    except (msgspec.DecodeError, RecursionError):
        return _read_any(line)
    if found.outcome not in OUTCOMES:
        return _read_any(line)
    last = found.attempts[-1] if found.attempts else _Tried()
    body = None if found.response is None else bytes(found.response.body)
    return Line(
        found.custom_id, found.outcome, last.code, last.message, len(found.attempts) or 1, body
    )


def _read_any(line: bytes) -> Line | None:
    """The same for the line of any server, in which no outcome is written."""
    found = result_of(line)
    if found is None:
        return None
    try:
        response = _response(found.response)
    except msgspec.ValidationError:
        response = None
    except (msgspec.DecodeError, RecursionError):
        # Lone surrogates, which JSON allows.
        body = split_object(bytes(found.response)).get("body")
        response = None if body is None else _Response(Raw(body))
    return Line(
        found.custom_id,
        found.outcome,
        found.code,
        found.message,
        len(found.attempts) or 1,
        None if response is None else bytes(response.body),
    )


_response = msgspec.json.Decoder(_Response | None).decode
_SCHEMATIC = frozenset({"response_format", "text"})


def _schema(body: Mapping[str, Any]) -> dict[str, Any]:
    return {name: body[name] for name in sorted(_SCHEMATIC) if isinstance(body.get(name), dict)}


def _parameters(body: Mapping[str, Any]) -> dict[str, str]:
    """The first request's own parameters, as they are written."""
    return {
        name: json.dumps(one, ensure_ascii=False)[:_TEXT_PARAMETER_CHARACTERS]
        for name, one in body.items()
        if name not in _APART and not (name == "text" and isinstance(one, dict))
    }


def _instructions(body: Mapping[str, Any]) -> str:
    """What the model is told before it is asked."""
    if isinstance(told := body.get("instructions"), str):
        return told[:_FIRST_CHARACTERS]
    for name in ("messages", "input"):
        if isinstance(listed := body.get(name), list):
            told = [
                _text_in(one.get("content"))
                for one in listed
                if isinstance(one, dict) and one.get("role") in ("system", "developer")
            ]
            return "\n\n".join(told)[:_FIRST_CHARACTERS]
    return ""


def _text_in(content: Any) -> str:
    """The texts of a content, one after the other; other parts by their type."""
    if isinstance(content, str):
        return content
    if isinstance(content, list):
        parts = []
        for one in content[:20]:
            if isinstance(one, dict):
                said = one.get("text")
                parts.append(said if isinstance(said, str) else f"[{one.get('type', 'part')}]")
            else:
                parts.append(str(one))
        return "\n".join(parts)
    return ""


def _pretty(value: Any) -> str:
    text = json.dumps(_brief(value), ensure_ascii=False, indent=2)
    return text if len(text) <= _FIRST_CHARACTERS else f"{text[:_FIRST_CHARACTERS]}\n…"


def _brief(value: Any) -> Any:
    """The same with pictures and files cut short."""
    if isinstance(value, str) and value.startswith("data:") and len(value) > 80:
        return f"{value[:40]}… ({len(value):,} characters)"
    if isinstance(value, dict):
        return {name: _brief(one) for name, one in value.items()}
    if isinstance(value, list):
        return [_brief(one) for one in value]
    return value
