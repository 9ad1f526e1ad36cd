"""The command `batchyard` and the list of its verbs; a verb is loaded when it is called."""

import importlib
from typing import TYPE_CHECKING, Any

import click

from batchyard import __version__
from batchyard.cli.examples import EXAMPLES
from batchyard.cli.lazily import lazily
from batchyard.cli.options import PLAIN, clean

with lazily():
    from batchyard.places import objects
    from batchyard.places import store as stores

if TYPE_CHECKING:
    from click.shell_completion import CompletionItem

__all__ = ["main"]

_INTERRUPTED = 130
_VERBS = {
    "make": "Make a file of requests from a table.",
    "check": "Say all that is wrong with a file, for any Batch API.",
    "fix": "Repair what can be repaired in a file.",
    "edit": "Set and remove values in every request of a file.",
    "stats": "Say what is in a file of requests or results, in numbers.",
    "show": "Show one request, or its result, as people read it.",
    "sample": "Write some lines of a file by chance.",
    "merge": "Merge files of results into one line for each request.",
    "diff": "Say which answers changed from one run to another.",
    "estimate": "Estimate tokens, dollars and time of a file.",
    "split": "Split a file into files that a Batch API takes.",
    "run": "Answer a file of requests without a server, or by any Batch API.",
    "submit": "Submit a file to any Batch API, in as many batches as it takes.",
    "watch": "Go on with what was submitted, until every request has its result.",
    "status": "Show how a campaign or a batch stands.",
    "collect": "Look once after what was submitted, and fetch what has ended.",
    "report": "Write one HTML file that tells how it all went.",
    "resume": "Go on with what was stopped or killed.",
    "clean": "Delete what a campaign has left at the server.",
    "cancel": "Cancel what was submitted, and keep what was answered.",
    "ls": "List campaigns in this folder, and batches at the target.",
    "results": "Write the results of a campaign or a batch.",
    "errors": "Count by code what has no answer, with samples.",
    "explain": "Say what a code of an error means, and what to do.",
    "retry": "Ask again what failed in a batch or a campaign.",
    "files": "List, upload, download and delete files at the target.",
    "doctor": "Say what is not well here and at the target, and what to do.",
    "completion": "Print what a shell needs to complete verbs, options, ids and profiles.",
    "config": "Name the Batch APIs that you use, for `--to NAME`.",
    "serve": "Serve OpenAI's Batch API in front of your models.",
    "keys": "Create, list and revoke API keys.",
    "projects": "Create, list, archive and set up projects.",
    "webhooks": "List webhook endpoints and deliveries, and deliver again.",
    "quota": "Show and set how many tokens may be enqueued.",
    "usage": "Show what was used, and what it costs.",
    "why": "Say why a batch does not move.",
    "gc": "Delete, or tell, what nothing needs any more.",
    "openapi": "Print the OpenAPI document of the server's API.",
    "sim": "Run a simulated upstream.",
}


class _Verbs(click.Group):
    """A group whose commands live in modules of the same name beside this one."""

    def list_commands(self, ctx: click.Context) -> list[str]:
        return list(_VERBS)

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:
        if cmd_name not in _VERBS:
            return None
        module = importlib.import_module(f"batchyard.cli.{cmd_name}")
        command: click.Command = getattr(module, cmd_name)
        _dress(command, cmd_name)
        return command

    def invoke(self, ctx: click.Context) -> Any:
        try:
            return super().invoke(ctx)
        except (SystemExit, click.ClickException, click.exceptions.Exit, click.Abort):
            raise
        except KeyboardInterrupt:
            click.echo("\nStopped.", err=True)
            ctx.exit(_INTERRUPTED)
        except objects.StoreError as error:
            # A campaign's folder at a URL may be out of reach for any verb.
            raise click.ClickException(clean(error)) from error
        except stores.StoreUnusableError as error:
            # The database of a server that is damaged, newer, locked, on a full disk.
            raise click.ClickException(clean(error)) from error
        except stores.Work.faults as error:
            raise click.ClickException(clean(stores.in_words(error))) from error

    def shell_complete(self, ctx: click.Context, incomplete: str) -> "list[CompletionItem]":
        if not incomplete.isidentifier() and incomplete:
            return super().shell_complete(ctx, incomplete)
        # Here too no verb is loaded: who presses TAB does not wait for long.
        made = importlib.import_module("click.shell_completion").CompletionItem
        return [
            made(name, help=text) for name, text in _VERBS.items() if name.startswith(incomplete)
        ]

    def format_commands(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        # Help lines stand here, so that --help loads no verb.
        with formatter.section("Commands"):
            formatter.write_dl(list(_VERBS.items()))


def _dress(command: click.Command, words: str) -> None:
    """Give a verb, and those below it, what all have: `--plain`, and an example."""
    if PLAIN not in command.params and not isinstance(command, click.Group):
        command.params.append(PLAIN)
    command.epilog = f"\b\nExample:\n  batchyard {EXAMPLES[words]}"
    if isinstance(command, click.Group):
        for name, one in command.commands.items():
            _dress(one, f"{words} {name}")


@click.group(cls=_Verbs, context_settings={"help_option_names": ["-h", "--help"]})
@click.version_option(__version__, prog_name="batchyard")
def main() -> None:
    """Give any OpenAI-compatible model server OpenAI's Batch API."""
