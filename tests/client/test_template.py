"""Templates fill in fields, and leave every other brace alone."""

import importlib.util
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from batchyard.client.building.build import Template, TemplateError


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("Hi {name}!", "Hi Ada!"),
        ('Answer {"label": "x", "n": {"a": 1}} for {name}', None),
        ("{{name}} is {name}", "{name} is Ada"),
        (r"\frac{1}{2} of {name}", r"\frac{1}{2} of Ada"),
        ("f() { return 1; } {name}", "f() { return 1; } Ada"),
        ("{Full Name} of {some thing}", "Ada L. of {some thing}"),
        ("{who.first} {tags.1} {tags}", 'A b ["a", "b"]'),
        ("[{none}] [{missing}]", "[] []"),
        ("{}{0}{ name }", "{}{0}{ name }"),
    ],
)
def test_only_fields_are_filled_in(text: str, said: str | None) -> None:
    """JSON, code and formulas in a prompt are no fields."""
    row = {
        "name": "Ada",
        "Full Name": "Ada L.",
        "who": {"first": "A"},
        "tags": ["a", "b"],
        "none": None,
        "missing": float("nan"),
    }
    assert Template(text).render(row) == (said or text.replace("{name}", "Ada"))


def test_a_field_that_is_not_there_is_an_error() -> None:
    """It says which field, which there are, which may be meant, and how to write the braces."""
    with pytest.raises(TemplateError, match=r"no field 'nam'.*has name.*\{name\}.*\{\{nam\}\}"):
        Template("{nam}").render({"name": "Ada"})


@given(st.text(), st.text())
def test_what_is_filled_in_is_never_read_as_a_template(before: str, value: str) -> None:
    """A value's own braces are text, whatever they hold."""
    text = before.replace("{", "[")
    assert Template(text + "{a}").render({"a": value}) == text + value


@pytest.mark.skipif(importlib.util.find_spec("jinja2") is None, reason="the extra is missing")
def test_jinja_fills_in_a_sandbox() -> None:
    """Jinja's templates work the same way, and reach nothing but the row."""
    jinja: Any = importlib.import_module("batchyard.client.building.jinja")
    template = jinja.JinjaTemplate("{% for a in tags %}{{ a }};{% endfor %}")
    assert template.render({"tags": [1, 2]}) == "1;2;"
    with pytest.raises(TemplateError, match="'x' is undefined"):
        jinja.JinjaTemplate("{{ x }}").render({"y": 1})
