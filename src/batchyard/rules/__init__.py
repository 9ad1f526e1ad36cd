"""Decides: pure and synchronous, told the time, never asking it."""
