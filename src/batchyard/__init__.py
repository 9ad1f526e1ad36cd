"""Batchyard: the OpenAI Batch API for models of your own."""

__all__ = ["__version__"]

__version__ = "0.1.0"
