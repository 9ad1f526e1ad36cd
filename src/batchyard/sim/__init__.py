"""The simulated upstream: answers like a model server, and says that it is none."""
