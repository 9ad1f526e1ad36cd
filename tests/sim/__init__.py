"""Proof of the simulated upstream."""
