"""The simulated upstream: answers like a model server, and says that it is none."""

from batchyard.sim.options import SimOptions
from batchyard.sim.serving import Running, run, start

__all__ = ["Running", "SimOptions", "run", "start"]
