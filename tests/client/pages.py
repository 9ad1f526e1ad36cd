"""A page of HTML, read as a browser would, into what a test asks for."""

from html.parser import HTMLParser

__all__ = ["Page", "read_page"]

_VOID = frozenset({"meta", "br"})


class Page(HTMLParser):
    """What stands on a page: its tags, the texts of its sections, and the rows of its tables."""

    def __init__(self) -> None:
        super().__init__(convert_charrefs=True)
        self.tags: list[tuple[str, dict[str, str]]] = []
        self.open: list[str] = []
        self.rows: dict[str, list[list[str]]] = {}
        self.text = ""
        self._section = ""

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        named = {name: value or "" for name, value in attrs}
        self.tags.append((tag, named))
        if tag not in _VOID:
            self.open.append(tag)
        if tag == "section":
            self._section = named["id"]
        elif tag == "tr":
            self.rows.setdefault(self._section, []).append([])
        elif tag in ("td", "th"):
            self.rows[self._section][-1].append("")

    def handle_startendtag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append((tag, {name: value or "" for name, value in attrs}))

    def handle_endtag(self, tag: str) -> None:
        assert self.open.pop() == tag

    def handle_data(self, data: str) -> None:
        if "style" in self.open:
            return
        self.text += data
        if "td" in self.open or "th" in self.open:
            self.rows[self._section][-1][-1] += data

    def numbers(self, section: str, column: int = 1) -> dict[str, int]:
        """The numbers of a column of a section's rows, by the first cell."""
        return {
            row[0]: int(row[column].replace(",", ""))
            for row in self.rows[section]
            if len(row) > column and row[column].replace(",", "").isdigit()
        }


def read_page(text: str) -> Page:
    """Read a page; every element on it must be closed."""
    page = Page()
    page.feed(text)
    page.close()
    assert page.open == []
    return page
