"""Chance from a seed: equal numbers go in, equal numbers come out, on every machine."""

__all__ = ["fraction", "mix"]

_MASK = (1 << 64) - 1


def mix(seed: int, number: int) -> int:
    """64 bits that look random and follow from both numbers (the finalizer of splitmix64)."""
    mixed = (number + seed * 0x9E3779B97F4A7C15) & _MASK
    mixed = ((mixed ^ mixed >> 30) * 0xBF58476D1CE4E5B9) & _MASK
    mixed = ((mixed ^ mixed >> 27) * 0x94D049BB133111EB) & _MASK
    return mixed ^ mixed >> 31


def fraction(number: int) -> float:
    """A number of 64 bits as one from 0 up to, but not including, 1."""
    return (number >> 11) / (1 << 53)
