"""`batchyard openapi`: the description of the API, as programs read it."""

import click
import msgspec

from batchyard.server.app import ROUTES
from batchyard.server.describing import document
from batchyard.server.pages import html_of

__all__ = ["openapi"]


@click.command()
@click.option("--html", is_flag=True, help="A page for people instead.")
def openapi(html: bool) -> None:
    """Print the OpenAPI document of the server's API; a server has it at /openapi.json."""
    described = document(ROUTES)
    if html:
        click.echo(html_of(described))
    else:
        click.echo(msgspec.json.format(msgspec.json.encode(described)).decode())
