"""`batchyard openapi`: the description of the API, as programs read it."""

from __future__ import annotations

import click

from batchyard.cli.lazily import lazily

with lazily():
    import msgspec

    from batchyard.server import app, describing, pages


__all__ = ["openapi"]


@click.command()
@click.option("--html", is_flag=True, help="A page for people instead.")
def openapi(html: bool) -> None:
    """Print the OpenAPI document of the server's API; a server has it at /openapi.json."""
    described = describing.document(app.ROUTES)
    if html:
        click.echo(pages.html_of(described))
    else:
        click.echo(msgspec.json.format(msgspec.json.encode(described)).decode())
