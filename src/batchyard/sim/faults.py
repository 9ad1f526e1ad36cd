"""What may go wrong, how often, and which request it befalls: by seed, body and attempt."""

from msgspec import Struct

from batchyard.sim.chance import fraction, mix

__all__ = ["ALL_FAULTS", "BROKEN", "RETRY_AFTER_FORMS", "Faults", "Luck"]

# Forms of Retry-After that a 429 may carry, as `429-form`; plain `429` goes through all of them.
RETRY_AFTER_FORMS = (
    "seconds",
    "date",
    "ms",
    "past",
    "negative",
    "huge",
    "word",
    "two",
    "ratelimit",
    "none",
)
# `429-mild` leaves out the one that asks for 30 years: a client that obeys would stand still.
_THROTTLES = frozenset({"429", "429-mild"} | {f"429-{form}" for form in RETRY_AFTER_FORMS})
# These break what goes over the wire; those below come as well-formed HTTP.
BROKEN = frozenset(
    {"hang", "reset", "cut", "short", "drip", "huge", "chunkcut", "badhttp"},
)
_ODD = frozenset({"garbage", "empty", "array", "error200", "redirect"})
_STATUSES = frozenset(str(status) for status in range(400, 600))
ALL_FAULTS = _STATUSES | _THROTTLES | BROKEN | _ODD


class Faults(Struct, frozen=True):
    """Faults that befall requests.

    `first` befall the first attempts of each distinct body, one after the other; `shares` befall
    any later attempt, each with its probability.
    """

    first: tuple[tuple[str, int], ...] = ()
    shares: tuple[tuple[str, float], ...] = ()

    @classmethod
    def parse(cls, text: str) -> "Faults":
        """Read `429:0.05,hang:0.01` (probabilities) and `500@2` (first 2 attempts of a body)."""
        first: list[tuple[str, int]] = []
        shares: list[tuple[str, float]] = []
        for part in filter(None, (part.strip() for part in text.split(","))):
            if "@" in part:
                name, _, count = part.partition("@")
                first.append((_known(name), _count(count, part)))
            else:
                name, _, share = part.partition(":")
                shares.append((_known(name), _share(share, part)))
        if sum(share for _, share in shares) > 1 + 1e-9:
            raise ValueError("the probabilities of all faults together are above 1")
        return cls(tuple(first), tuple(shares))


class Luck:
    """Faults at work: counts the attempts of each body and says what befalls the next."""

    def __init__(self, faults: Faults, seed: int) -> None:
        self._faults = faults
        self._seed = seed
        self._attempts: dict[tuple[str, int], int] = {}

    def draw(self, path: str, number: int) -> str | None:
        """The fault that befalls this attempt of request `number`, if any."""
        faults = self._faults
        if not faults.first and not faults.shares:
            return None
        attempt = self._attempts.get((path, number), 0) + 1
        self._attempts[path, number] = attempt
        last = 0
        for name, count in faults.first:
            last += count
            if attempt <= last:
                return name
        drawn = fraction(mix(self._seed + 3, mix(attempt, number)))
        for name, share in faults.shares:
            drawn -= share
            if drawn < 0:
                return name
        return None


def _known(name: str) -> str:
    if name not in ALL_FAULTS:
        raise ValueError(
            f"no fault: '{name}'; there are any status from 400 to 599, "
            + ", ".join(sorted(ALL_FAULTS - _STATUSES))
        )
    return name


def _share(text: str, part: str) -> float:
    try:
        share = float(text)
    except ValueError:
        share = -1.0
    if not 0 <= share <= 1:
        raise ValueError(
            f"no share: '{part}'; write NAME:PROBABILITY (0 to 1), such as 429:0.05, "
            "or NAME@COUNT for the first attempts of each body, such as 500@2"
        )
    return share


def _count(text: str, part: str) -> int:
    if not text.isdecimal() or int(text) < 1:
        raise ValueError(f"no count: '{part}'; write NAME@COUNT, such as 500@2")
    return int(text)
