"""Greets over HTTP: OpenAI's Files, Batches and Models."""
