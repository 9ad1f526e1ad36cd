"""`batchyard explain`: what an error's code means, and what to do."""

from __future__ import annotations

import sys
from typing import TYPE_CHECKING

import click

from batchyard.cli.lazily import lazily
from batchyard.cli.options import AS_JSON, tell_json

with lazily():
    from batchyard.rules import codes as known_codes

if TYPE_CHECKING:
    from batchyard.rules.codes import Explained


__all__ = ["explain"]


@click.command()
@click.argument("codes", metavar="CODE...", nargs=-1)
@AS_JSON
def explain(*, codes: tuple[str, ...], as_json: bool) -> None:
    """Say what a code of an error means and what to do; without a CODE, list all."""
    unknown = [code for code in codes if known_codes.explain(code) is None]
    for code in codes or known_codes.CODES:
        found = known_codes.explain(code)
        if found is not None:
            _show(code, found, as_json=as_json, brief=not codes)
    for code in unknown:
        close = known_codes.near(code)
        hint = f" Do you mean {' or '.join(close[:3])}?" if close else ""
        click.echo(f"Nobody here knows the code '{code}'.{hint}", err=True)
    if unknown:
        sys.exit(1)


def _show(code: str, found: Explained, *, as_json: bool, brief: bool) -> None:
    if as_json:
        told = {"code": code, "where": found.where, "meaning": found.meaning}
        tell_json(told | {"remedy": found.remedy, "passes": found.passes})
    elif brief:
        click.echo(f"{code:34}  {found.meaning}")
    else:
        click.echo(f"{code}: of {found.where}")
        click.echo(f"  {found.meaning}")
        click.echo(f"  {found.remedy}")
        click.echo(
            "  The same again may work." if found.passes else "  The same again brings the same."
        )
