"""`batchyard retry`: asks again what failed in a batch, or in a campaign."""

from __future__ import annotations

import sys
from itertools import chain
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from batchyard.cli.aims import TO, WHAT, aim_at, note_last, state_here
from batchyard.cli.lazily import lazily
from batchyard.cli.options import AS_JSON, tell_json
from batchyard.cli.remote import campaign_meant, key_of, talk
from batchyard.cli.submit import go_on, open_campaign, tell_counts

with lazily():
    import secrets

    import msgspec

    from batchyard.client.apis import finding, provider
    from batchyard.client.campaigns import again, asking, sharing
    from batchyard.client.campaigns import campaign as campaigns
    from batchyard.client.examining import reading
    from batchyard.client.results import answers

if TYPE_CHECKING:
    from collections.abc import Iterator

    from batchyard.client.apis.remote import Remote


__all__ = ["retry"]

_NOT_YET = 7


@click.command()
@WHAT
@TO
@click.option(
    "--code", "codes", multiple=True, metavar="CODE", help="Only what failed with this code."
)
@click.option(
    "--max-tokens",
    type=click.IntRange(min=1),
    metavar="N",
    help="With room for so long an answer; those that were cut off are asked again too.",
)
@AS_JSON
def retry(
    *, what: str, to: str | None, codes: tuple[str, ...], max_tokens: int | None, as_json: bool
) -> None:
    """Ask again what failed in an ended batch or campaign, as a new one that is linked to it.

    BATCH is an id, the beginning of one, or @last. Unless --max-tokens gives them more room, the
    requests are sent byte for byte as before.
    """
    folder = campaign_meant(what, whole=True)
    if folder is not None:
        _retry_campaign(folder, frozenset(codes), max_tokens, as_json=as_json)
        return
    destination = aim_at(to, what)
    made = talk(destination, lambda remote: _retry_batch(remote, what, codes, max_tokens))
    note_last(batch_id=str(made["id"]), url=destination.base_url)
    if as_json:
        tell_json(made)
    else:
        click.echo(made["id"])
    click.echo(
        f"{made['id']} is {made['status']}. To see it: batchyard status {made['id']}", err=True
    )


async def _retry_batch(
    remote: Remote, word: str, codes: tuple[str, ...], max_tokens: int | None
) -> dict[str, Any]:
    batch = await finding.find_batch(remote, word, state_here())
    id = str(batch["id"])
    if batch["status"] not in provider.ENDED:
        raise finding.UnclearError(
            f"{id} is {batch['status']}; wait until it has ended, or cancel it."
        )
    if batch["status"] == "failed":
        raise finding.UnclearError(f"None of {id} was asked. See: batchyard errors {id}")
    if max_tokens is None:
        asked: dict[str, Any] = {"metadata": again.link_to(batch)}
        asked |= {"codes": list(codes)} if codes else {}
        made = await remote.retry(id, asked, f"retry-{secrets.token_hex(16)}")
        if made is not None:
            return made
    if (under_way := await again.linked(remote, id)) is not None:
        click.echo(f"{id} is asked again already.", err=True)
        return under_way
    lines = again.lines_to_ask(remote, batch, frozenset(codes), max_tokens)
    made = await again.ask_again(remote, batch, lines, f"retry-{secrets.token_hex(16)}")
    if made is None:
        raise finding.UnclearError(f"There is nothing to ask again in {id}.")
    return made


def _retry_campaign(
    folder: Path, codes: frozenset[str], max_tokens: int | None, *, as_json: bool
) -> None:
    old = open_campaign(folder)
    if old.counts is None:
        click.echo(f"{old.place} has not ended. To go on: batchyard watch {old.place}", err=True)
        sys.exit(_NOT_YET)
    wanted = _wanted(folder, codes, max_tokens)
    first = next(wanted, None)
    if first is None:
        raise click.ClickException(f"There is nothing to ask again in {old.place}.")
    settings = old.manifest.settings
    metadata = {**settings.metadata, again.RETRY_OF: old.manifest.id}
    settings = msgspec.structs.replace(
        settings, metadata=metadata, cap_max=max(settings.cap_max, max_tokens or 0)
    )
    campaign = campaigns.Campaign.prepare(_beside(folder), chain((first,), wanted), settings)
    campaign.key = key_of(campaign)
    note_last(folder=campaign.folder)
    counts = go_on(campaign, "submitted")
    if counts is not None:
        tell_counts(campaign, counts, as_json=as_json)
        return
    if as_json:
        tell_json({"id": campaign.manifest.id, "folder": campaign.place})
    else:
        click.echo(campaign.place)
    click.echo(
        f"{campaign.manifest.requests:,} requests are asked again."
        f" To go on: batchyard watch {campaign.place}",
        err=True,
    )


def _wanted(folder: Path, codes: frozenset[str], max_tokens: int | None) -> Iterator[bytes]:
    requests = reading.placed_lines(folder / "input.jsonl")
    for (_, request), line in zip(requests, answers.campaign_lines(folder), strict=True):
        ending = answers.ending_of(line, accept_cut_off=max_tokens is None)
        if ending is None or not (ending.succeeded or (codes and ending.code not in codes)):
            yield asking.with_cap(request, max_tokens) if max_tokens else request


def _beside(folder: Path) -> Path | str:
    """The first folder of this name that is free."""
    number, url = 1, sharing.url_of(folder)
    while url is not None:
        beside = f"{url.removesuffix('.campaign')}.retry{number}.campaign"
        if not (sharing.folder_at(beside) / "campaign.json").exists():
            return beside
        number += 1
    while True:
        stem = folder.name.removesuffix(".campaign")
        path = folder.with_name(f"{stem}.retry{number}.campaign")
        if not path.exists():
            return path
        number += 1
