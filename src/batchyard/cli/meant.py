"""Which file of results a word means: a path, the folder of a campaign, or @last."""

from pathlib import Path

import click

from batchyard.cli.remote import state_here
from batchyard.client.recent import LAST, recall

__all__ = ["folder_meant", "results_meant"]


def folder_meant(word: str) -> Path | None:
    """The folder of the campaign that is meant; None where the word names a file."""
    if word == LAST:
        last = recall(state_here())
        if last is None or last.folder is None:
            raise click.ClickException("No campaign was submitted from here yet: no @last.")
        return Path(last.folder)
    path = Path(word)
    if not path.exists():
        raise click.ClickException(f"There is no {word}.")
    return path if path.is_dir() else None


def results_meant(word: str) -> Path:
    """The file of results that is meant."""
    folder = folder_meant(word)
    if folder is None:
        return Path(word)
    path = folder / "results.jsonl"
    if not path.exists():
        raise click.ClickException(f"{folder} has no results yet; see `batchyard status {folder}`.")
    return path
