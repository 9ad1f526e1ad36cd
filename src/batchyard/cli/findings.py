"""How findings are shown: for people, and as annotations on GitHub."""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path
from typing import TYPE_CHECKING

from batchyard.cli.options import clean

if TYPE_CHECKING:
    from batchyard.client.examining.checking import Finding


__all__ = ["as_github", "as_text"]

# What would end an annotation or be read as one of its marks.
_ESCAPES = {"%": "%25", "\r": "%0D", "\n": "%0A"}
_PROPERTY_ESCAPES = _ESCAPES | {":": "%3A", ",": "%2C"}


def as_text(source: Path, found: Iterable[Finding]) -> Iterable[str]:
    """Each finding as a line that terminals and editors can jump to, its quote and its fix."""
    for one in found:
        place = f"{source}:{one.line}" if one.line is not None else str(source)
        more = f" ({one.lines:,} lines)" if one.lines > 1 else ""
        yield f"{place}: {one.severity} {one.code}: {clean(one.message)}{more}"
        if one.quote:
            yield f"    {one.quote}"
        if one.fix:
            yield f"    fix: {one.fix}"


def as_github(source: Path, found: Iterable[Finding]) -> Iterable[str]:
    """Each finding as a workflow command, which GitHub shows beside the line."""
    for one in found:
        place = f"file={_escaped(str(source), _PROPERTY_ESCAPES)}"
        if one.line is not None:
            place += f",line={one.line}"
        place += f",title={_escaped(one.code, _PROPERTY_ESCAPES)}"
        text = one.message + (f"\n{one.fix}" if one.fix else "")
        yield f"::{one.severity} {place}::{_escaped(text, _ESCAPES)}"


def _escaped(text: str, escapes: dict[str, str]) -> str:
    return "".join(escapes.get(one, one) for one in text)
