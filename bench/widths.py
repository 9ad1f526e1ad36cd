"""`python -m bench.widths`: how wide lanes get at simulated upstreams, beside two other ways.

On a virtual clock: the figures are the same on every machine. Printed as a Markdown table.
"""

from collections.abc import Callable

from tests.rules.test_width_laws import CASES, Case
from tests.rules.upstreams import Limit, carried, settled

from batchyard.rules.width import Width
from bench.former_width import Flow, FormerWidth

__all__ = ["main"]

_WAYS: dict[str, Callable[[], Limit]] = {
    "former": lambda: FormerWidth(start=8, ceiling=4_096),
    "flow": lambda: Flow(start=2, ceiling=4_096),
    "width": lambda: Width(start=2, ceiling=4_096),
}


def main() -> None:
    """Print a row for each upstream."""
    print("| upstream | least width for 99 % | " + " | ".join(_WAYS) + " |")
    print("|---|---:|" + "---:|" * len(_WAYS))
    for case in CASES:
        found = [_row(case, way()) for way in _WAYS.values()]
        print(f"| {case.name} | {case.best_width} | " + " | ".join(found) + " |", flush=True)


def _row(case: Case, width: Limit) -> str:
    """Share of the best rate, the median width, the mean answer time, and time-outs."""
    came = list(carried(width, case.law(), lines=case.lines))
    after = max(60.0, 30 * case.alone) if case.alone >= 0.2 else 5.0
    told = settled(came, min(after, came[-1].now / 2))
    late = sum(one.kind == "time-out" for one in came)
    lost = f", {late} time-outs" if late else ""
    return f"{100 * told.rate / case.best_rate:.1f} %, {told.width}, {told.seconds:.3g} s{lost}"


if __name__ == "__main__":
    main()
