"""The option that says for which Batch API a file is meant."""

import os

import click

from batchyard.cli.lazily import lazily

with lazily():
    from batchyard.client.apis import profiles, targets

__all__ = ["TARGET", "TARGET_NAMES", "TargetWord"]

# Written out, for what they stand for takes long to load; a test holds them to it.
TARGET_NAMES = (
    "openai",
    "azure",
    "batchyard",
    "batchyard-strict",
    "local",
    "groq",
    "together",
    "parasail",
    "novita",
    "doubleword",
    "perplexity",
    "alibaba",
    "any",
)


class TargetWord(str):
    """The name of a target; `url` is where it is, where a URL or a profile of the user said so."""

    __slots__ = ("url",)

    def __new__(cls, name: str, url: str = "") -> "TargetWord":
        """A name, with the URL that stood for it."""
        made = super().__new__(cls, name)
        made.url = url
        return made

    url: str


class _TargetName(click.Choice[str]):
    """A target by its name, or the one that a profile or a URL belongs to."""

    def convert(self, value: str, param: click.Parameter | None, ctx: click.Context | None) -> str:
        if value in TARGET_NAMES:
            return value
        try:
            known = profiles.read_profiles(profiles.config_file(os.environ)).profile
        except profiles.ProfileError as error:
            self.fail(str(error), param, ctx)
        url = known[value].url if value in known else value
        if "://" not in url:
            return super().convert(value, param, ctx)
        target = targets.target_of_url(url)
        return TargetWord(target.name if target is not None else "any", url)


TARGET = click.option(
    "--for",
    "--to",
    "target",
    type=_TargetName(TARGET_NAMES),
    default="openai",
    show_default=True,
    help="Whose limits and rules count; also by a profile or a URL.",
)
