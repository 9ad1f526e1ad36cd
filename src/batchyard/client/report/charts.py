"""Plots as inline SVG: bare shapes that stretch with the page; words stand beside them as HTML."""

from collections.abc import Sequence

from batchyard.client.report.elements import Html, join, tag

__all__ = ["columns", "meter", "strip"]

_WIDTH, _HEIGHT = 720.0, 160.0
_GAP = 0.14


def columns(id: str, title: str, told: str, heights: Sequence[float]) -> Html:
    """Columns from left to right, the highest as high as the plot."""
    most = max(heights, default=0) or 1
    each = _WIDTH / max(1, len(heights))
    shapes = [
        tag("rect", class_="grid", x=0, y=_HEIGHT * part, width=_WIDTH, height=0.6)
        for part in (0.0, 0.25, 0.5, 0.75)
    ]
    for index, one in enumerate(heights):
        if one <= 0:
            continue
        # What came at all is to be seen.
        height = max(1.5, one / most * _HEIGHT)
        shapes.append(
            tag(
                "rect",
                class_="bar",
                x=_short(each * (index + _GAP / 2)),
                y=_short(_HEIGHT - height),
                width=_short(each * (1 - _GAP)),
                height=_short(height),
            )
        )
    return _drawn(id, title, told, (_WIDTH, _HEIGHT), *shapes, class_="columns")


def strip(id: str, title: str, told: str, parts: Sequence[tuple[str, float]]) -> Html:
    """Shares of a whole side by side, each with the class that colours it."""
    whole = sum(size for _, size in parts) or 1
    shapes, left = [], 0.0
    for name, size in parts:
        if size <= 0:
            continue
        # A share that is too small for a line of its own is shown as one all the same.
        width = max(1.2, size / whole * _WIDTH)
        shapes.append(tag("rect", class_=name, x=_short(left), y=0, width=_short(width), height=20))
        left += width
    return _drawn(id, title, told, (max(left, 1.0), 20.0), *shapes, class_="strip")


def meter(share: float, kind: str = "bar") -> Html:
    """A bar in a row of a table, whose number stands beside it."""
    return tag(
        "svg",
        tag("rect", class_=kind, x=0, y=0, width=_short(100 * min(1.0, share)), height=10),
        class_="meter",
        viewBox="0 0 100 10",
        preserveAspectRatio="none",
        aria_hidden="true",
    )


def _drawn(
    id: str, title: str, told: str, size: tuple[float, float], *shapes: Html, class_: str
) -> Html:
    return tag(
        "svg",
        tag("title", title, id=f"{id}-title"),
        tag("desc", told, id=f"{id}-desc"),
        join(*shapes),
        class_=class_,
        viewBox=f"0 0 {_short(size[0])} {_short(size[1])}",
        preserveAspectRatio="none",
        role="img",
        aria_labelledby=f"{id}-title {id}-desc",
    )


def _short(number: float) -> str:
    return f"{number:.2f}".rstrip("0").rstrip(".")
