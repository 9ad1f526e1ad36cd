"""Who goes first, and how much of it."""

from typing import NamedTuple

import pytest

from batchyard.rules.schedule import in_turn, share


class Waiting(NamedTuple):
    """A batch with free shards."""

    name: str
    priority: int = 0
    held: int = 0
    expires_at: int = 100
    sequence: int = 0
    shards: int = 10
    model: str = "m"


@pytest.mark.parametrize(
    ("first", "second"),
    [
        (Waiting("urgent", priority=1, held=9), Waiting("ordinary")),
        (Waiting("ordinary"), Waiting("patient", priority=-1)),
        (Waiting("small", held=0), Waiting("large", held=3)),
        (Waiting("due", expires_at=50), Waiting("later")),
        (Waiting("old", sequence=1), Waiting("new", sequence=2)),
    ],
)
def test_batches_have_their_turn(first: Waiting, second: Waiting) -> None:
    """Priority first; then fewest shards under way, nearest deadline, age."""
    assert in_turn([second, first]) == [first, second]


def drawn(*waiting: Waiting, appetite: int, room: int = 10_000) -> dict[str, int]:
    """How many shards of ten lines are taken of whom, three at most."""
    shares = share(waiting, lambda _model: appetite, room=room, shard_lines=10, shards_max=3)
    return {one.name: shards for one, shards in shares}


def test_equals_are_all_drawn_on() -> None:
    """None of them waits for another; memory bounds them together."""
    a, b = Waiting("a"), Waiting("b", sequence=1)
    assert drawn(a, b, appetite=15) == {"a": 2, "b": 2}
    assert drawn(a, b, appetite=15, room=20) == {"a": 2}


def test_a_lower_priority_gets_what_is_left() -> None:
    """Nothing where those above still the appetite; of another model, all it wants."""
    high, low = Waiting("high", priority=5), Waiting("low")
    assert drawn(high, low, appetite=20) == {"high": 2}
    assert drawn(high._replace(shards=1), low, appetite=20) == {"high": 1, "low": 1}
    assert drawn(high, low._replace(model="n"), appetite=20) == {"high": 2, "low": 2}
