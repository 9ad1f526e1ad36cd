"""Batch APIs: what each allows, where it is, and what is asked of it."""
