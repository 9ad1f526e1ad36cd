"""Proofs of what keeps."""
