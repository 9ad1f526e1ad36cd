"""`batchyard submit`: a file of requests becomes a campaign, and its first batches."""

from __future__ import annotations

import os
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from batchyard.cli.aims import TO, aim, note_last
from batchyard.cli.lazily import lazily
from batchyard.cli.options import AS_JSON, LINES, clean, tell_json
from batchyard.cli.remote import FOLDER, key_of

with lazily():
    import asyncio
    import random
    import secrets

    import msgspec

    from batchyard.client.apis import pricing, provider
    from batchyard.client.campaigns import campaign as campaigns
    from batchyard.client.campaigns import checked, cutting, here, intents, merging, sharing
    from batchyard.client.campaigns import submit as campaign_submit
    from batchyard.client.examining import estimating, reading
    from batchyard.client.results import answers
    from batchyard.client.tabular import rowwise
    from batchyard.places import faults

if TYPE_CHECKING:
    from batchyard.client.campaigns.pursuit import Until
    from batchyard.client.campaigns.settings import Progress
    from batchyard.client.results.outcomes import Check


__all__ = ["go_on", "open_campaign", "submit", "tell_counts", "tell_fault"]

_INVALID, _NO_ACCESS, _ENDED_BADLY, _INCOMPLETE, _OVER_BUDGET, _INTERRUPTED = 3, 4, 5, 6, 8, 130


@click.command()
@click.argument("source", metavar="IN.jsonl", type=LINES)
@TO
@click.option(
    "-d",
    "--folder",
    metavar="DIR|URL",
    type=FOLDER,
    help="The campaign's folder, or a URL: s3://...; IN.campaign beside the file unless given.",
)
@click.option("--window", default="24h", show_default=True, help="The completion window.")
@click.option(
    "--max-enqueued-tokens", type=click.IntRange(min=1), metavar="N", help="Your queue limit."
)
@click.option(
    "--max-requests",
    type=click.IntRange(min=1),
    metavar="N",
    help="Most requests in one batch.",
)
@click.option(
    "--rounds",
    type=click.IntRange(min=1),
    default=3,
    show_default=True,
    help="How often a request is asked at most.",
)
@click.option("--accept-cut-off", is_flag=True, help="An answer cut off by its cap is a success.")
@click.option(
    "--poll",
    type=click.FloatRange(min=0.01),
    metavar="SECONDS",
    help="How often to look; as the target likes it unless given.",
)
@click.option(
    "--max-usd",
    type=click.FloatRange(min=0),
    help="Submit nothing that may cost more, or of which no price is known.",
)
@click.option("--settle", type=click.FloatRange(min=0), default=5.0, hidden=True)
@AS_JSON
def submit(
    *,
    source: Path,
    to: str | None,
    folder: Path | str | None,
    window: str,
    max_enqueued_tokens: int | None,
    max_requests: int | None,
    rounds: int,
    accept_cut_off: bool,
    poll: float | None,
    max_usd: float | None,
    settle: float,
    as_json: bool,
) -> None:
    """Submit what the queue has room for, and say how to go on.

    The same command again goes on with the same campaign; nothing is submitted twice.
    """
    destination = aim(to)
    settings = campaign_submit.settings_at(
        destination,
        window=window,
        rounds_max=rounds,
        accept_cut_off=accept_cut_off,
        settle_seconds=settle,
        **_given(enqueued_tokens_max=max_enqueued_tokens, poll_seconds=poll),
    )
    sizes, most = settings.sizes, max_requests or settings.sizes.requests
    settings = msgspec.structs.replace(
        settings, sizes=msgspec.structs.replace(sizes, requests=min(most, sizes.requests))
    )
    _hold(source, settings.base_url, max_usd)
    try:
        campaign = campaigns.Campaign.prepare(
            folder or campaign_submit.folder_of(source),
            source,
            settings,
            chance=_chance(),
            reach=faults.reach_from(os.environ),
        )
    except campaigns.OtherInputError as error:
        raise click.ClickException(
            f"{error} is the folder of another input. Choose another --folder."
        ) from error
    except cutting.InputError as error:
        click.echo(f"{source}: {error}", err=True)
        sys.exit(_INVALID)
    # An older campaign goes on where it was begun, with the key for there.
    campaign.key = key_of(campaign)
    note_last(folder=campaign.folder)
    counts = go_on(campaign, "submitted")
    if counts is not None:
        tell_counts(campaign, counts, as_json=as_json)
        return
    _tell_begun(campaign, as_json=as_json)


def _given(**options: Any) -> dict[str, Any]:
    """Those options that were given."""
    return {name: one for name, one in options.items() if one is not None}


def _hold(source: Path, base_url: str, max_usd: float | None) -> None:
    """End the command where the requests may cost more."""
    if max_usd is None:
        return
    lots = estimating.weigh(reading.lines_of(reading.chunks_of(source)), estimating.Lengths())
    found = estimating.estimate(lots, pricing.prices_of(base_url))
    if found.unpriced:
        why = f"no price is known of {', '.join(found.unpriced)}"
    elif found.batch_usd[1] > max_usd:
        why = f"it may cost up to ${found.batch_usd[1]:,.4f}"
    else:
        return
    click.echo(f"Nothing was submitted: {why}, over the cap of ${max_usd:,.2f}.", err=True)
    sys.exit(_OVER_BUDGET)


def open_campaign(folder: Path, check: Check | None = None) -> campaigns.Campaign:
    """The campaign in a folder, for the verbs that need one."""
    kind: Any = campaigns.Campaign
    if (folder / "sheet.json").exists():
        # What rows need is much to load, and few campaigns have them.
        kind = rowwise.RowCampaign
    try:
        campaign: campaigns.Campaign = kind(
            folder, chance=_chance(), reach=faults.reach_from(os.environ), **_given(check=check)
        )
    except campaigns.NoCampaignError as error:
        raise click.ClickException(
            f"{folder} holds no campaign; `batchyard submit` begins one."
        ) from error
    campaign.key = key_of(campaign)
    return campaign


def go_on(
    campaign: campaigns.Campaign, until: Until, seconds: float | None = None
) -> Mapping[str, int] | None:
    """Go on with a campaign, so long at most; faults end the command with what they mean."""
    told = ""
    is_ours = here.is_here(campaign.folder)
    if is_ours and not all(one.collected for one in campaign.standing().chunks):
        raise click.ClickException(
            f"{campaign.folder} was begun by `batchyard run --upstream`: the same goes on with it."
        )

    def tell(now: Progress) -> None:
        nonlocal told
        text = f"round {now.round}: {now.ended}/{now.chunks} batches, {now.done:,}/{now.requests:,}"
        text += f" · waiting: {now.waiting_for}" if now.waiting_for else ""
        text += f" · {now.moving}" if now.moving else ""
        if text != told:
            click.echo(text, err=True)
            told = text

    try:
        if seconds is None:
            return campaign.run(tell, until)
        return asyncio.run(asyncio.wait_for(campaign.arun(tell, until), seconds))
    except TimeoutError:
        return None
    except provider.ProviderError as error:
        click.echo(f"Error: {error}", err=True)
        click.echo(f"Nothing is lost. To go on: batchyard resume {campaign.place}", err=True)
        sys.exit(_NO_ACCESS if error.status in (401, 403) else 1)
    except checked.MissingCheckError as error:
        raise click.ClickException(str(error)) from error
    except intents.CampaignInUseError as error:
        told = f"Another process goes on with {error}."
        if sharing.is_url(campaign.place):
            told += f" Is that one gone for good? batchyard resume --take-over {campaign.place}"
        raise click.ClickException(told) from error
    except sharing.StoreError as error:
        click.echo(f"Error: {clean(error)}", err=True)
        click.echo(f"Nothing is lost. To go on: batchyard resume {campaign.place}", err=True)
        sys.exit(1)
    except merging.CountsError as error:
        raise click.ClickException(str(error)) from error
    except KeyboardInterrupt:
        click.echo(f"\nThe batches go on. To watch: batchyard watch {campaign.place}", err=True)
        sys.exit(_INTERRUPTED)


def tell_counts(
    campaign: campaigns.Campaign, counts: Mapping[str, int], *, as_json: bool, strict: bool = False
) -> None:
    """Say how all requests ended, and where the results are."""
    bill, place = campaign.bill(), campaign.place
    results = f"{place}/results.jsonl" if sharing.is_url(place) else str(campaign.results_path)
    if as_json:
        told = {"results": results, "counts": counts, "bill": bill}
        tell_json(told)
    else:
        click.echo(str(bill), err=True)
        click.echo(", ".join(f"{count:,} {name}" for name, count in counts.items() if count))
        click.echo(results)
        click.echo(f"A page that tells of it: batchyard report {campaign.place}", err=True)
    tell_fault(campaign, counts)
    if not counts["succeeded"]:
        sys.exit(_ENDED_BADLY)
    if strict and counts["succeeded"] < sum(counts.values()):
        sys.exit(_INCOMPLETE)


def tell_fault(campaign: campaigns.Campaign, counts: Mapping[str, int]) -> None:
    """Say of one request why it has no answer, and where to see of all."""
    failed = sum(counts.values()) - counts["succeeded"]
    found = answers.first_fault(campaign.folder) if failed else None
    if found is not None:
        why = ": ".join(filter(None, (found.code, found.message))) or found.outcome
        click.echo(f"{clean(found.custom_id)}: {clean(why)}", err=True)
        click.echo(f"All {failed:,}, by code: batchyard errors {campaign.place}", err=True)


def _tell_begun(campaign: campaigns.Campaign, *, as_json: bool) -> None:
    standing, folder = campaign.standing(), campaign.place
    batches = [one.batch_id for one in standing.chunks if one.batch_id]
    if as_json:
        tell_json({"id": standing.id, "folder": folder, "batches": batches})
    else:
        click.echo(folder)
    click.echo(
        f"{len(batches):,} of {len(standing.chunks):,} batches submitted, "
        f"{standing.requests:,} requests. To go on: batchyard watch {folder}",
        err=True,
    )


def _chance() -> random.Random:
    return random.Random(secrets.randbits(128))
