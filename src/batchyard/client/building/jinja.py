"""Texts in Jinja's language that rows fill in; wants the extra `jinja`."""

from collections.abc import Mapping
from typing import Any

import jinja2
from jinja2.sandbox import SandboxedEnvironment

from batchyard.client.building.template import TemplateError

__all__ = ["JinjaTemplate"]


class JinjaTemplate:
    """A text to be filled in row by row, in a sandbox; a field that a row has not is an error."""

    def __init__(self, text: str) -> None:
        self.text = text
        environment = SandboxedEnvironment(undefined=jinja2.StrictUndefined)
        self._compiled = environment.from_string(text)

    def render(self, row: Mapping[str, Any]) -> str:
        """The text of a row; raises TemplateError for a field that the row has not."""
        try:
            return str(self._compiled.render(row))
        except jinja2.UndefinedError as error:
            raise TemplateError(
                f"{error.message}; the row has {', '.join(map(str, row))}"
            ) from error
