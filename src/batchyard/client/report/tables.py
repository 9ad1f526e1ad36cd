"""Tables and other shapes that the sections of a page share."""

from collections.abc import Iterable, Sequence

from batchyard.client.report.elements import Html, Piece, join, tag
from batchyard.client.report.facts import Shown

__all__ = ["examples", "figure", "pairs", "scrolled", "section", "table"]

Cell = tuple[str | None, Piece]


def section(id: str, title: str, *inside: Html | None) -> Html:
    """A part of the page that a link can lead to."""
    return tag(
        "section", tag("h2", title, id=f"{id}-head"), *inside, id=id, aria_labelledby=f"{id}-head"
    )


def table(
    caption: str,
    heads: Sequence[str],
    rows: Iterable[Sequence[Piece]],
    *,
    numbers: Sequence[int] = (),
    last: Sequence[Piece] | None = None,
    class_: str | None = None,
) -> Html:
    """A table whose rows are named by their first cell; columns of `numbers` stand to the right."""

    def cells(name: str, row: Sequence[Piece], scope: str | None) -> Html:
        return tag(
            "tr",
            *(
                tag(
                    name if index else "th",
                    one,
                    class_="n" if index in numbers else None,
                    scope=scope if index else ("col" if scope == "col" else "row"),
                )
                for index, one in enumerate(row)
            ),
        )

    return scrolled(
        caption,
        tag(
            "table",
            tag("caption", caption),
            tag("thead", cells("th", heads, "col")),
            tag("tbody", *(cells("td", row, None) for row in rows)),
            None if last is None else tag("tfoot", cells("td", last, None)),
            class_=class_,
        ),
    )


def scrolled(label: str, inside: Html) -> Html:
    """What may be wider than the page; it scrolls by keys too."""
    return tag("div", inside, class_="scroll", role="region", aria_label=label, tabindex=0)


def figure(caption: str, plot: Html, *under: str) -> Html:
    """A plot with its caption above it and the words of its axis below."""
    axis = tag("div", *(tag("span", one) for one in under), class_="axis", aria_hidden="true")
    return tag("figure", tag("figcaption", caption), plot, axis if under else None)


def pairs(*told: tuple[str, Piece]) -> Html:
    """Names with what they are; those that are nothing are left out."""
    shown = [
        join(tag("dt", name), tag("dd", one)) for name, one in told if one is not None and one != ""
    ]
    return tag("dl", *shown, class_="pairs")


def examples(shown: Iterable[Shown]) -> Html:
    """Requests with what came of them."""
    return tag(
        "ul",
        *(
            tag(
                "li",
                tag("span", one.custom_id, class_="id"),
                tag("p", one.asked, class_="said", dir="auto") if one.asked else None,
                tag("p", one.answered or "(nothing)", class_="said answered", dir="auto"),
            )
            for one in shown
        ),
        class_="examples",
    )
