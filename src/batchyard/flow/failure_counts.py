"""Counts failed lines by their cause, with the first line of each cause as its example."""

from collections.abc import Iterable

import msgspec

from batchyard.flow.landing import Landing
from batchyard.wire.objects import FailureCount
from batchyard.wire.outcomes import error_in

__all__ = ["FailureTally", "count_failures"]

# Upstreams may give every failure a code of its own; what is beyond goes by its status alone.
_CAUSES_MAX = 20
_CODE_CHARACTERS_MAX, _MESSAGE_CHARACTERS_MAX = 64, 200
# A longer error body is not parsed for its code: its status tells enough.
_BODY_BYTES_MAX = 64 << 10
_OTHER = "other"


class FailureTally:
    """Causes of failed lines, added up over commit groups."""

    def __init__(self) -> None:
        self._causes: dict[tuple[str, int | None], FailureCount] = {}

    def add(self, failures: Iterable[FailureCount]) -> None:
        """Add the failures of one commit group; the earliest line of each cause stays."""
        for failure in failures:
            key = (failure.code, failure.status)
            known = self._causes.get(key)
            if known is None and len(self._causes) >= _CAUSES_MAX:
                key = (_OTHER, None)
                known = self._causes.get(key)
                failure = msgspec.structs.replace(failure, code=_OTHER, status=None)
            if known is not None:
                first = min(known, failure, key=lambda cause: cause.line)
                failure = msgspec.structs.replace(first, count=known.count + failure.count)
            self._causes[key] = failure

    def most_frequent(self) -> tuple[FailureCount, ...]:
        """All causes, the most frequent first."""
        return tuple(sorted(self._causes.values(), key=lambda cause: (-cause.count, cause.line)))


def count_failures(first_index: int, landings: Iterable[Landing]) -> tuple[FailureCount, ...]:
    """The causes of the failed lines of one shard; `first_index` is that of its first line."""
    tally = FailureTally()
    for landing in landings:
        if landing.facts is None:
            tally.add([_failure(first_index + landing.index + 1, landing)])
    return tally.most_frequent()


def _failure(line: int, landing: Landing) -> FailureCount:
    if landing.answer is None:
        assert landing.fault is not None
        code, message, status = landing.fault.code, landing.fault.detail, None
    else:
        status = landing.answer.status
        code, message = "", ""
        if len(landing.answer.body) <= _BODY_BYTES_MAX:
            code, message = error_in(landing.answer.body)
        code = code or f"http_{status}"
    return FailureCount(
        code=_printable(code, _CODE_CHARACTERS_MAX),
        status=status,
        count=1,
        line=line,
        custom_id=landing.custom_id,
        message=_printable(message, _MESSAGE_CHARACTERS_MAX),
    )


def _printable(text: str, characters_max: int) -> str:
    """The beginning of a text on one line, without what a terminal or a database would not bear."""
    # Lone surrogates are replaced: no encoder and no database takes them.
    sound = text[: 4 * characters_max].encode("utf-8", "replace").decode()
    spaced = "".join(sign if sign.isprintable() else " " for sign in sound)
    line = " ".join(spaced.split())
    return line if len(line) <= characters_max else line[: characters_max - 1] + "…"
