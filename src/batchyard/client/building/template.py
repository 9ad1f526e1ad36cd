"""Texts with `{fields}` that rows fill in; any other brace is only a brace."""

import json
import re
from collections.abc import Iterator, Mapping
from difflib import get_close_matches
from string import Formatter
from typing import Any

__all__ = ["Template", "TemplateError", "is_format", "shown"]

# {name} or {name.inner}; {a name with spaces} only where the row has such a column; {{name}}
# stands for {name} itself.
_FIELD = re.compile(
    r"\{\{(?P<literal>[^\W\d]\w*(?:\.\w+)*)\}\}"
    r"|\{(?P<name>[^\W\d]\w*(?:\.\w+)*)\}"
    r"|\{(?P<loose>[^\W\d][\w .\-/()#%]*)\}"
)


class TemplateError(ValueError):
    """A template names a field that the row does not have."""


class Template:
    """A text to be filled in row by row.

    JSON, code and formulas in it stay as they are: only a name in single braces is a field. A
    field that is null, or not a number, becomes nothing; lists and objects become JSON.
    """

    def __init__(self, text: str) -> None:
        self.text = text
        self._parts = list(_cut(text))
        self.fields = tuple(
            dict.fromkeys(name for _, name, is_loose in self._parts if name and not is_loose)
        )

    @property
    def is_plain(self) -> bool:
        """Whether it is the same for all rows."""
        return len(self._parts) == 1

    def render(self, row: Mapping[str, Any]) -> str:
        """The text of a row; raises TemplateError for a field that the row has not."""
        said = []
        for before, name, is_loose in self._parts:
            said.append(before)
            if name is None:
                continue
            if name in row:
                value = row[name]
                said.append(value if type(value) is str else shown(value))
            elif is_loose:
                said.append(f"{{{name}}}")
            else:
                said.append(shown(_inner(row, name)))
        return "".join(said)

    def __repr__(self) -> str:
        return f"Template({self.text!r})"


def shown(value: Any) -> str:
    """What a value is in a prompt."""
    if isinstance(value, str):
        return value
    # NaN is what data frames have where nothing is.
    if value is None or value != value:
        return ""
    if isinstance(value, dict | list | tuple):
        return json.dumps(value, ensure_ascii=False, default=str)
    return str(value)


def is_format(text: str) -> bool:
    """Whether `str.format` can fill the text: all its fields are names, other braces doubled."""
    try:
        fields = [name for _, name, _, _ in Formatter().parse(text) if name is not None]
    except ValueError:
        return False
    return all(re.fullmatch(r"[^\W\d]\w*", name) for name in fields)


def _cut(text: str) -> Iterator[tuple[str, str | None, bool]]:
    """Runs of text, each with the field that follows it, and whether that may be no field."""
    end = 0
    before = ""
    for found in _FIELD.finditer(text):
        before += text[end : found.start()]
        end = found.end()
        if found["literal"]:
            before += f"{{{found['literal']}}}"
            continue
        yield before, found["name"] or found["loose"], found["name"] is None
        before = ""
    yield before + text[end:], None, False


def _inner(row: Mapping[str, Any], name: str) -> Any:
    value: Any = row
    for step in name.split("."):
        if isinstance(value, list) and step.isdigit() and int(step) < len(value):
            value = value[int(step)]
        elif isinstance(value, Mapping) and step in value:
            value = value[step]
        else:
            close = get_close_matches(name, [str(key) for key in row], n=1)
            meant = f" Did you mean {{{close[0]}}}?" if close else ""
            raise TemplateError(
                f"The row has no field '{name}'; it has {', '.join(map(str, row)) or 'none'}."
                f"{meant} Write {{{{{name}}}}} where the braces are meant as such."
            )
    return value
