"""What is served in the place of a model that is not, in words."""

from collections.abc import Sequence
from difflib import SequenceMatcher

__all__ = ["ServedHint"]

_NAMED_MAX = 10
# Comparing names takes long, and nobody reads more of them.
_COMPARED_MAX, _TOLD_MAX = 1_000, 10
_SHOWN_CHARACTERS_MAX = 100


class ServedHint:
    """Says which models are served, the nearest names first, once for each model that is not.

    Of many models that are not, it does so for the first few.
    """

    def __init__(self, served: Sequence[str]) -> None:
        self._served = served[:_COMPARED_MAX]
        self._more = max(0, len(served) - _NAMED_MAX)
        self._told: set[str] = set()

    def __call__(self, model: str) -> str:
        """What is added to the message that this model is not served."""
        if not self._served or len(self._told) >= _TOLD_MAX or model in self._told:
            return ""
        self._told.add(model)
        short = model[:_SHOWN_CHARACTERS_MAX]
        near = sorted(self._served, key=lambda one: -_likeness(short, one))[:_NAMED_MAX]
        more = f" and {self._more:,} more" if self._more else ""
        shown = ", ".join(name[:_SHOWN_CHARACTERS_MAX] for name in near)
        return (
            f" Served are: {shown}{more}. Name one of them, or let the server's settings do it: "
            f'aliases = {{ "{short}" = "{near[0][:_SHOWN_CHARACTERS_MAX]}" }} below [[upstream]].'
        )


def _likeness(model: str, name: str) -> float:
    return SequenceMatcher(None, model.lower(), name[:_SHOWN_CHARACTERS_MAX].lower()).ratio()
