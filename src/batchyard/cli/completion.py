"""`batchyard completion`: what a shell needs to complete verbs, options, ids and profiles."""

import click
from click.shell_completion import get_completion_class

__all__ = ["completion"]

_SHELLS = ("bash", "zsh", "fish")


@click.command()
@click.argument("shell", type=click.Choice(_SHELLS))
@click.pass_context
def completion(ctx: click.Context, shell: str) -> None:
    """Print a script with which SHELL completes verbs, options, ids and profiles.

    In ~/.bashrc or ~/.zshrc: eval "$(batchyard completion bash)", or zsh. In fish's config.fish:
    batchyard completion fish | source.
    """
    made = get_completion_class(shell)
    assert made is not None
    root = ctx.find_root().command
    click.echo(made(root, {}, "batchyard", "_BATCHYARD_COMPLETE").source())
