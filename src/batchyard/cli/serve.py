"""`batchyard serve`: OpenAI's Batch API in front of your models."""

import sys
from pathlib import Path

import click

from batchyard.cli.lazily import lazily

with lazily():
    from batchyard.cli import serve_check, serve_here

__all__ = ["serve"]


@click.command()
@click.option("--host", metavar="HOST", help="Address to listen on; 127.0.0.1 unless given.")
@click.option("--port", type=click.IntRange(0, 65535), metavar="PORT", help="8080 unless given.")
@click.option("--data", metavar="DIR", help="Where everything is kept; ./batchyard-data.")
@click.option(
    "--upstream",
    "urls",
    multiple=True,
    metavar="URL",
    help="Base URL of a model server, or `sim`; may be repeated.",
)
@click.option("--workers", type=click.IntRange(1, 64), metavar="N", help="Worker processes; 1.")
@click.option(
    "--config", type=click.Path(path_type=Path), metavar="FILE", help="Instead of batchyard.toml."
)
@click.option(
    "--accept-database",
    is_flag=True,
    help="Go on with a database that is new, older, or of another installation than the blobs.",
)
@click.option(
    "--check", "checking", is_flag=True, help="Only tell what is found; exit code 3 if it is bad."
)
def serve(
    host: str | None,
    port: int | None,
    data: str | None,
    urls: tuple[str, ...],
    workers: int | None,
    config: Path | None,
    *,
    accept_database: bool,
    checking: bool,
) -> None:
    """Serve OpenAI's Files and Batches API in front of any OpenAI-compatible model server.

    Point the official client at it: OpenAI(base_url="http://127.0.0.1:8080/v1", api_key=...).
    The first start creates a key and shows it once.
    """
    given = {"host": host, "port": port, "data": data, "workers": workers}
    if checking:
        sys.exit(serve_check.check(config, given, urls))
    serve_here.serve(config, given, urls, accept_database=accept_database)
