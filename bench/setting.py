"""What every scenario is given."""

from dataclasses import dataclass
from pathlib import Path

from bench.upstream import Floor

__all__ = ["Setting"]


@dataclass(frozen=True)
class Setting:
    """`folder` is there for the run only; `repeat` is how often each figure is taken."""

    folder: Path
    floor: Floor
    lines: int
    repeat: int
