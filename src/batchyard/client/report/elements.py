"""Elements of HTML, in which everything that is not markup of our own is escaped."""

import re
from html import escape

__all__ = ["Html", "Piece", "join", "tag"]

# Controls, overrides of the direction of writing, and halves of surrogate pairs.
_UNSHOWN = re.compile("[\x00-\x08\x0b-\x1f\x7f-\x9f\u202a-\u202e\u2066-\u2069\ud800-\udfff]")
_VOID = frozenset({"meta", "br", "rect", "path", "line"})


class Html(str):
    """Text that is markup already."""

    __slots__ = ()


Piece = str | Html | int | None


def tag(name: str, /, *inside: Piece, **attributes: str | float | None) -> Html:
    """An element; `class_` is class, `aria_label` is aria-label; what is None is left out."""
    told = "".join(
        f' {_attribute(key)}="{_plain(str(value))}"'
        for key, value in attributes.items()
        if value is not None
    )
    if name in _VOID and not inside:
        return Html(f"<{name}{told}>" if name in ("meta", "br") else f"<{name}{told}/>")
    return Html(f"<{name}{told}>{join(*inside)}</{name}>")


def join(*pieces: Piece) -> Html:
    """Pieces one after the other, each escaped unless it is markup."""
    return Html(
        "".join(
            one if isinstance(one, Html) else _plain(str(one)) for one in pieces if one is not None
        )
    )


def _attribute(key: str) -> str:
    return key.rstrip("_").replace("_", "-")


def _plain(text: str) -> str:
    """Escaped; what cannot be written, or would turn the text around it, is shown as a sign."""
    return escape(_UNSHOWN.sub("\ufffd", text), quote=True)
