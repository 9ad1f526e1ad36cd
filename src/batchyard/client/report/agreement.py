"""How far labels that models gave agree with those that are known to be right."""

from collections import Counter

from msgspec import Struct

from batchyard.client.tabular.scoring import interval

__all__ = ["Agreement", "Comparing", "Score"]

_PAIRS_MAX = 2_000
_LABELS_MAX = 40
# Longer ones are the same where their beginnings are.
_LABEL_CHARACTERS = 400


class Score(Struct, frozen=True, kw_only=True):
    """How well one label was given; what cannot be said, for nothing was given or right, is None.

    `right`: given where it was right. `given`: how often at all. `gold`: how often it was right.
    """

    label: str
    right: int
    given: int
    gold: int

    @property
    def precision(self) -> float | None:
        """Of those given, the part that was right."""
        return self.right / self.given if self.given else None

    @property
    def recall(self) -> float | None:
        """Of those that were to be given, the part that was."""
        return self.right / self.gold if self.gold else None

    @property
    def f1(self) -> float | None:
        """Twice the right ones by those given and those to be given."""
        both = self.given + self.gold
        return 2 * self.right / both if both else None


class Agreement(Struct, frozen=True, kw_only=True):
    """Labels given against gold labels.

    `matrix[i][j]` counts those whose gold label is `labels[i]` and that were given `labels[j]`;
    `unanswered[i]` those that were given none. Labels beyond the most frequent are in no row, but
    in `compared` and `right`. `without_gold` had no gold label to compare with.
    """

    field: str
    labels: tuple[str, ...]
    matrix: tuple[tuple[int, ...], ...]
    unanswered: tuple[int, ...]
    scores: tuple[Score, ...]
    compared: int
    right: int
    left_out: int
    without_gold: int

    @property
    def are_classes(self) -> bool:
        """Whether labels come again and again, as classes do and free texts do not."""
        return self.left_out == 0 and 2 * len(self.labels) <= max(4, self.compared)

    @property
    def accuracy(self) -> float:
        """The part of all with a gold label, answered or not, that was given it."""
        return self.right / self.compared if self.compared else 0.0

    @property
    def interval(self) -> tuple[float, float]:
        """Where the accuracy lies with a confidence of 95 %."""
        return interval(self.right, self.compared) if self.compared else (0.0, 1.0)

    @property
    def macro_f1(self) -> float | None:
        """The mean F1 of the labels that are gold somewhere."""
        known = [one.f1 for one in self.scores if one.gold and one.f1 is not None]
        return sum(known) / len(known) if known else None


class Comparing:
    """Compares pair by pair; letter case, and quotes or a full stop around it, do not count."""

    def __init__(self) -> None:
        self._pairs: Counter[tuple[str, str | None]] = Counter()
        self._spelled: dict[str, str] = {}
        self._compared = self._right = self._without_gold = 0

    def add(self, gold: str | None, given: str | None) -> bool | None:
        """Compare; `given` is None where there is no answer or no such field in it.

        Returns whether it is right, None where there is nothing to compare with.
        """
        if gold is None or not gold.strip():
            self._without_gold += 1
            return None
        wanted, told = self._known(gold), None if given is None else self._known(given)
        self._compared += 1
        self._right += wanted == told
        if (wanted, told) in self._pairs or len(self._pairs) < _PAIRS_MAX:
            self._pairs[wanted, told] += 1
        return wanted == told

    def agreement(self, field: str) -> Agreement:
        """All pairs, the labels that are gold most often first."""
        gold: Counter[str] = Counter()
        given: Counter[str] = Counter()
        for (wanted, told), count in self._pairs.items():
            gold[wanted] += count
            if told is not None:
                given[told] += count
        ranked = sorted({*gold, *given}, key=lambda one: (-gold[one], -given[one], one))
        shown = ranked[:_LABELS_MAX]
        matrix = tuple(tuple(self._pairs[row, column] for column in shown) for row in shown)
        seen = sum(map(sum, matrix)) + sum(self._pairs[one, None] for one in shown)
        return Agreement(
            field=field,
            labels=tuple(self._spelled.get(one, one) for one in shown),
            matrix=matrix,
            unanswered=tuple(self._pairs[one, None] for one in shown),
            scores=tuple(
                Score(
                    label=self._spelled.get(one, one),
                    right=self._pairs[one, one],
                    given=given[one],
                    gold=gold[one],
                )
                for one in shown
            ),
            compared=self._compared,
            right=self._right,
            left_out=self._compared - seen,
            without_gold=self._without_gold,
        )

    def _known(self, label: str) -> str:
        stripped = label.strip()[:_LABEL_CHARACTERS]
        folded = stripped.strip("\"'`.").strip().casefold()
        if folded not in self._spelled and len(self._spelled) < _PAIRS_MAX:
            self._spelled[folded] = stripped
        return folded
