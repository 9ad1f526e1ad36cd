"""Whose fault a lost worker is."""

import pytest

from batchyard.rules.blame import first_group, guilty, next_group


@pytest.mark.parametrize(
    ("suspects", "unanswered", "size"),
    [
        (None, 0b1, 1),
        (None, 0b11_1111, 4),
        (0b1111, 0b1111, 1),
        (0xFF, 0xFFFF, 2),
        (0xFFFF, 0xFFFF_0000 | 0xFF, 2),
        # All of the group were answered: nothing is known of the rest.
        (0b1111, 0b1111_0000, 4),
    ],
)
def test_a_lost_group_is_followed_by_a_part_of_it(
    suspects: int | None, unanswered: int, size: int
) -> None:
    """A quarter of what of it is unanswered; four where nothing is known."""
    assert first_group(suspects, unanswered) == size


@pytest.mark.parametrize(
    ("suspects", "unanswered", "losses", "index"),
    [
        (0b100, 0b111, 4, 2),
        (0b100, 0b111, 3, None),
        (0b100, 0b011, 4, None),
        (0b110, 0b111, 9, None),
        # One of two was answered: the other was not alone.
        (0b110, 0b101, 9, None),
        (None, 0b1, 9, None),
    ],
)
def test_only_a_line_that_was_alone_is_guilty(
    suspects: int | None, unanswered: int, losses: int, index: int | None
) -> None:
    """And only after so many losses, and if it has no answer."""
    assert guilty(suspects, unanswered, losses, 4) == index


def test_innocent_lines_are_soon_through() -> None:
    """Groups that come back double: 500 lines leave in seven."""
    left, groups, size = 500, 0, first_group(None, (1 << 500) - 1)
    while left > 0:
        left, groups, size = left - size, groups + 1, next_group(size)
    assert groups == 7
