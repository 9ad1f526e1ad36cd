"""Proofs of what names."""
