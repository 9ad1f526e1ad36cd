"""Calls of the command within this process."""

from click.testing import CliRunner, Result

from batchyard.cli.main import main

__all__ = ["call"]


def call(*words: object) -> Result:
    """Call `batchyard` with these words; stdout and stderr are apart."""
    return CliRunner().invoke(main, [str(word) for word in words], catch_exceptions=False)
