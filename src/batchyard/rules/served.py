"""What is served in the place of a model that is not, in words."""

from collections.abc import Sequence
from difflib import SequenceMatcher

from msgspec import Struct

__all__ = ["OF_CHECK", "OF_RUN", "OF_SERVER", "Unserved", "Wording"]

_NAMED_MAX = 10
# Comparing names takes long, and nobody reads more of them.
_COMPARED_MAX, _TOLD_MAX = 1_000, 10
_SHOWN_CHARACTERS_MAX = 100


class Wording(Struct, frozen=True):
    """How it is said that a `{model}` is not served, and what helps; `{near}` is most like it."""

    refusal: str
    remedy: str


_REFUSAL = "The provided model '{model}' is not supported by the Batch API."
_EDIT = "batchyard edit --set body.model={near} gives it to all lines."
# Of a server, whose settings may give another name to what it serves.
OF_SERVER = Wording(
    _REFUSAL,
    "Name one of them, or let the server's settings do it: "
    'aliases = {{ "{model}" = "{near}" }} below [[upstream]].',
)
OF_CHECK = Wording(_REFUSAL, f"Name one of them: {_EDIT}")
OF_RUN = Wording("No upstream serves the model '{model}'.", f"Name one of them: {_EDIT}")


class Unserved:
    """Says that a model is not served, and, once for each, which are, the nearest names first.

    Of many models that are not, it does so for the first few.
    """

    def __init__(self, served: Sequence[str] = (), wording: Wording = OF_CHECK) -> None:
        self._wording = wording
        self._served = served[:_COMPARED_MAX]
        self._more = max(0, len(served) - _NAMED_MAX)
        self._told: set[str] = set()

    def __call__(self, model: str) -> str:
        """The message for a line that asks for this model."""
        refusal = self._wording.refusal.format(model=model)
        if not self._served or len(self._told) >= _TOLD_MAX or model in self._told:
            return refusal
        self._told.add(model)
        short = model[:_SHOWN_CHARACTERS_MAX]
        near = sorted(self._served, key=lambda one: -_likeness(short, one))[:_NAMED_MAX]
        more = f" and {self._more:,} more" if self._more else ""
        shown = ", ".join(name[:_SHOWN_CHARACTERS_MAX] for name in near)
        remedy = self._wording.remedy.format(model=short, near=near[0][:_SHOWN_CHARACTERS_MAX])
        return f"{refusal} Served are: {shown}{more}. {remedy}"


def _likeness(model: str, name: str) -> float:
    return SequenceMatcher(None, model.lower(), name[:_SHOWN_CHARACTERS_MAX].lower()).ratio()
