"""Measures Batchyard beside the alternatives, on this machine, in one run."""
