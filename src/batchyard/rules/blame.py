"""Which line ends its worker: suspected in groups that shrink, and found guilty only alone."""

__all__ = ["first_group", "guilty", "next_group"]

# So many lines go out first where nothing is known of them, and this share of a group that was out
# when the worker died. A group that came back is followed by one that is larger by the factor.
_FIRST_LINES, _SHRINK_SHARE, _GROWTH_FACTOR = 4, 4, 2


def first_group(suspects: int | None, unanswered: int) -> int:
    """How many lines of a watched shard go out together first; both are bit masks.

    `suspects` is the group that was out when the worker was last lost; None: it is not known.
    """
    left = unanswered if suspects is None else suspects & unanswered
    if suspects is None or not left:
        return min(_FIRST_LINES, unanswered.bit_count())
    return max(1, left.bit_count() // _SHRINK_SHARE)


def next_group(size: int) -> int:
    """How many lines go out together after a group of this size has come back."""
    return size * _GROWTH_FACTOR


def guilty(suspects: int | None, unanswered: int, losses: int, losses_max: int) -> int | None:
    """The index of the line that is to be given up, or None.

    It was out alone, and so were all of its group before at each loss that is counted on.
    """
    if suspects is None or losses < losses_max or suspects.bit_count() != 1:
        return None
    return suspects.bit_length() - 1 if suspects & unanswered else None
