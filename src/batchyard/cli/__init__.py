"""Greets in the terminal."""
