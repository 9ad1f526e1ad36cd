"""What can be set on a simulated upstream."""

from pathlib import Path

from msgspec import Struct

from batchyard.sim.faults import Faults
from batchyard.sim.latency import Latency

__all__ = ["DEFAULT_MODELS", "SimOptions", "parse_models"]

# Listed when no models are named; any other name is taken too.
DEFAULT_MODELS = ("sim-small", "sim-large", "sim-embed")


class SimOptions(Struct, frozen=True, kw_only=True):
    """A simulated upstream before it runs; port 0 asks the system for a free one.

    Without `models`, any model is taken. The same seed gives the same answers and faults.
    """

    host: str = "127.0.0.1"
    port: int = 0
    seed: int = 0
    latency: Latency = Latency()
    faults: Faults = Faults()
    models: tuple[str, ...] = ()
    log: Path | None = None


def parse_models(text: str) -> tuple[str, ...]:
    """Read names with commas between them."""
    names = tuple(filter(None, (name.strip() for name in text.split(","))))
    if not names:
        raise ValueError("no models: write their names with commas between them")
    return names
