"""Which file of results a word means: a path, or a campaign."""

from pathlib import Path

import click

from batchyard.cli.remote import campaign_meant

__all__ = ["folder_meant", "results_meant"]


def folder_meant(word: str) -> Path | None:
    """The folder of the campaign that is meant; None where the word names a file."""
    if Path(word).is_file():
        return None
    folder = campaign_meant(word, whole=True)
    if folder is None or not folder.is_dir():
        raise click.ClickException(f"There is no file and no campaign {word}.")
    return folder


def results_meant(word: str) -> Path:
    """The file of results that is meant."""
    folder = folder_meant(word)
    if folder is None:
        return Path(word)
    path = folder / "results.jsonl"
    if not path.exists():
        raise click.ClickException(f"{word} has no results yet; see `batchyard status {word}`.")
    return path
