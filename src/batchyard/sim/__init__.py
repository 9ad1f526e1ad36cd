"""The simulated upstream: answers like a model server, and says that it is none."""

from batchyard.sim.faults import Faults
from batchyard.sim.latency import Latency
from batchyard.sim.options import SimOptions, parse_models
from batchyard.sim.serving import Running, run, start

__all__ = ["Faults", "Latency", "Running", "SimOptions", "parse_models", "run", "start"]
