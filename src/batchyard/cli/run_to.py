"""`batchyard run --to`: a file or a table to any Batch API and back, in one command."""

import asyncio
import os
import shutil
import sys
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import click
from msgspec import to_builtins

from batchyard.cli.aims import aim, note_last
from batchyard.cli.options import tell_json
from batchyard.cli.output import end
from batchyard.cli.remote import fail
from batchyard.cli.road import Road, labels_of, scorer_of, shape_of, template_of, text_of
from batchyard.cli.submit import go_on, tell_fault
from batchyard.client.apis.pricing import prices_of
from batchyard.client.apis.profiles import ProfileError, UnusableKeyError
from batchyard.client.apis.provider import ProviderError
from batchyard.client.building.parameters import ParameterError
from batchyard.client.building.schema import SchemaError
from batchyard.client.building.template import TemplateError
from batchyard.client.building.writing import DuplicateIdError
from batchyard.client.campaigns.beginning import OtherInputError
from batchyard.client.campaigns.campaign import Campaign
from batchyard.client.campaigns.cutting import InputError, count_requests
from batchyard.client.campaigns.here import begin_here, end_here
from batchyard.client.campaigns.intents import CampaignInUseError
from batchyard.client.campaigns.sharing import is_url
from batchyard.client.campaigns.submit import begin, folder_of, settings_for
from batchyard.client.results.results import Result
from batchyard.client.tables import MissingExtraError, TableError, rows_of, write_table
from batchyard.client.tabular.canary import CanaryError, sampled, sing, told
from batchyard.client.tabular.evaluating import evaluate
from batchyard.client.tabular.oneliners import (
    classify,
    embed,
    extract,
    generate,
    translate,
)
from batchyard.client.tabular.preview import OverBudgetError, preview
from batchyard.client.tabular.rowwise import RowCampaign
from batchyard.client.tabular.scoring import Score
from batchyard.config import SettingsError
from batchyard.places.whole import publish

__all__ = ["travel"]

_INVALID, _NO_ACCESS, _ENDED_BADLY, _INCOMPLETE = 3, 4, 5, 6
_OVER_BUDGET, _INTERRUPTED = 8, 130
_CHUNK_BYTES = 1 << 20
_SOURCES = {
    "asked": "asked",
    "same": "the same as another row",
    "cache": "answered in earlier campaigns",
    "canary": "tried first",
    "none": "without a text",
}


def stay(
    source: Path, output: Path | None, road: Road, answer: Callable[[Path, Path, Path], int]
) -> None:
    """The same for rows, which model servers answer without a Batch API; `answer` asks them."""
    if is_url(road.folder):
        raise click.UsageError("With --upstream the folder is on this machine.")
    with _told(road):
        campaign = _of_rows(source, {"rounds_max": 1}, road, submit=False)
        if road.dry_run:
            return
        asked = begin_here(campaign.folder)
    note_last(folder=campaign.folder)
    if asked is not None:
        if not asked.answers.exists():
            code = answer(asked.requests, asked.answers, asked.failures)
            if not asked.answers.exists():
                sys.exit(code)
        end_here(campaign.folder)
    _finish(campaign, output, road)


def travel(source: Path, output: Path | None, window: str, road: Road) -> None:
    """Plan, submit, watch, collect, ask again, merge; ends with the exit code of it all."""
    settings: dict[str, Any] = {"window": window}
    settings |= {"rounds_max": road.rounds} if road.rounds else {}
    settings |= {"poll_seconds": road.poll} if road.poll else {}
    with _told(road):
        if road.wants_rows or source.suffix.lower() != ".jsonl":
            campaign: Campaign | None = _of_rows(source, settings, road)
        else:
            campaign = _of_requests(source, settings, road)
    if road.dry_run or campaign is None:
        return
    note_last(folder=campaign.folder)
    _finish(campaign, output, road)


def _finish(campaign: Campaign, output: Path | None, road: Road) -> None:
    """Go on to the end, write what was wanted, and tell."""
    counts = go_on(campaign, "end")
    assert counts is not None
    with _told(road):
        if output is not None:
            _write(campaign, output)
        if road.report is not None:
            campaign.report(road.report, gold=road.gold)
    _tell(campaign, counts, output, road)
    tell_fault(campaign, counts)
    if not counts["succeeded"]:
        sys.exit(_ENDED_BADLY)
    if road.strict and counts["succeeded"] < sum(counts.values()):
        sys.exit(_INCOMPLETE)


def _of_requests(source: Path, settings: dict[str, Any], road: Road) -> Campaign | None:
    """The campaign of a batch file, which is asked as it stands; None after a dry run."""
    wanted = settings_for(road.to, os.environ, **settings)
    if road.dry_run or road.max_usd is not None:
        count = count_requests(source)
        seen = preview(source, wanted, prices_of(wanted.base_url), rows=count, units=count, known=0)
        if road.dry_run:
            _say(str(seen))
        seen.hold(road.max_usd)
    if road.canary and not road.dry_run and not (folder_of(source) / "diary.jsonl").exists():
        lines = sampled(source, road.canary)
        tried = asyncio.run(sing(lines, wanted, aim(road.to).key))
        _say(told(tried))
        if all(one.body is None for one in tried.values()) or not _confirmed(road):
            raise CanaryError("Nothing was submitted.")
    if road.dry_run:
        return None
    return begin(source, road.folder, to=road.to, **settings)


def _of_rows(
    source: Path, settings: dict[str, Any], road: Road, *, submit: bool = True
) -> RowCampaign:
    """The campaign of a table, by what was said is wanted of its rows."""
    terms: dict[str, Any] = {
        "to": road.to,
        "folder": road.folder,
        "id": road.id_.split(",") if road.id_ else None,
        "dry_run": road.dry_run,
        "submit": submit,
        "canary": road.canary or 0,
        "dedupe": not road.no_dedupe,
        "cache": not road.no_cache,
        "max_usd": road.max_usd,
        "show": _say,
        "confirm": lambda: _confirmed(road),
        "settings": settings,
    }
    instructions = text_of(road.instructions) if road.instructions else None
    if road.gold is not None and road.gold not in next(rows_of(source), {}):
        raise click.UsageError(f"{source.name} has no column '{road.gold}'.")
    if len(road.models) > 1 or (road.scorer and road.models):
        return _compared(source, instructions, road, terms)
    if not road.models:
        raise click.UsageError("Say with --model which model is asked.")
    terms |= {"model": road.models[0]}
    named = [one for one in (road.labels, road.schema, road.into, road.embed) if one]
    if len(named) > 1 or (named and road.template):
        raise click.UsageError("Give one of --template, --labels, --schema, --into and --embed.")
    if road.embed:
        return embed(source, text=road.text, **terms)
    terms |= {"instructions": instructions}
    if road.labels:
        return classify(source, labels_of(road.labels), text=road.text, **terms)
    if road.schema:
        return extract(source, shape_of(road.schema), text=road.text, **terms)
    if road.into:
        terms |= {"keep_placeholders": not road.no_placeholders}
        return translate(source, road.into, text=road.text, **terms)
    if road.template:
        return generate(source, template_of(road.template), **terms)
    raise click.UsageError(
        f"Say what is wanted of the rows of {source.name}: --template, --labels, --schema, --into "
        "or --embed."
    )


def _compared(
    source: Path, instructions: str | None, road: Road, terms: dict[str, Any]
) -> RowCampaign:
    """Several models on the same rows."""
    if road.gold is None:
        raise click.UsageError("Models are compared by --gold, the column of what is right.")
    return evaluate(
        source,
        road.models,
        text=template_of(road.template) if road.template else road.text,
        expected=road.gold,
        labels=labels_of(road.labels) if road.labels else (),
        instructions=instructions,
        scorer=scorer_of(road.scorer),
        **terms,
    )


@contextmanager
def _told(road: Road) -> Iterator[None]:
    """Faults end the command with what they mean to the user."""
    try:
        yield
    except ProviderError as error:
        fail(error, aim(road.to))
    except KeyboardInterrupt:
        end("Stopped; the same command goes on.", _INTERRUPTED)
    except OverBudgetError as error:
        end(str(error), _OVER_BUDGET)
    except (InputError, DuplicateIdError, TemplateError, TableError) as error:
        end(str(error), _INVALID)
    except OtherInputError as error:
        end(f"{error} is the folder of another campaign. Choose another --folder.", 1)
    except (CanaryError, CampaignInUseError, SettingsError, MissingExtraError) as error:
        end(str(error), 1)
    except UnusableKeyError as error:
        end(str(error), _NO_ACCESS)
    except (ProfileError, SchemaError, ParameterError, ValueError) as error:
        raise click.UsageError(str(error)) from error


def _write(campaign: Campaign, output: Path) -> None:
    """The answers in the place that was asked for."""
    if isinstance(campaign, RowCampaign):
        campaign.to("-" if str(output) == "-" else output, replace=True)
    elif str(output) == "-":
        with campaign.results_path.open("rb") as file:
            shutil.copyfileobj(file, sys.stdout.buffer)
    elif output.suffix.lower() == ".jsonl":
        with campaign.results_path.open("rb") as file:
            publish(output, iter(lambda: file.read(_CHUNK_BYTES), b""))
    else:
        write_table(map(_flat, campaign.results()), output)


def _flat(one: Result) -> dict[str, Any]:
    """A result as a row of a table."""
    told = {"custom_id": one.custom_id, "outcome": one.outcome, "answer": one.text}
    return told | {"error": one.message or one.code or None, "attempts": len(one.attempts)}


def _tell(campaign: Campaign, counts: Mapping[str, int], output: Path | None, road: Road) -> None:
    """How it all ended, and where the answers are."""
    place = output or campaign.results_path
    facts: dict[str, Any] = {"folder": campaign.place, "results": str(place)}
    facts["counts"] = dict(counts)
    said = [", ".join(f"{count:,} {name}" for name, count in counts.items() if count)]
    if isinstance(campaign, RowCampaign):
        tally = campaign.tally()
        facts |= {"sources": dict(tally.sources), "input_tokens": tally.input_tokens}
        facts |= {"output_tokens": tally.output_tokens}
        said.append(
            ", ".join(f"{count:,} {_SOURCES[name]}" for name, count in tally.sources.items())
        )
        if tally.labels:
            facts["labels"] = dict(tally.labels)
            told = sorted(tally.labels.items(), key=lambda one: -one[1])
            said.append("labels: " + ", ".join(f"{count:,} {name}" for name, count in told))
        if campaign.sheet.reading.expected:
            facts["scores"] = [to_builtins(one) for one in campaign.scores()]
            said += [_scored(one) for one in campaign.scores()]
    if campaign.manifest.requests:
        bill = campaign.bill()
        facts["usd"] = bill.usd
        said.append(str(bill))
    if road.report is not None:
        facts["report"] = str(road.report)
        said.append(f"report: {road.report}")
    if road.as_json:
        tell_json(facts)
        return
    for line in said:
        _say(line)
    if str(output) != "-":
        click.echo(place)


def _scored(one: Score) -> str:
    return (
        f"{one.model}: {one.correct:,} of {one.cases:,} right, {one.share:.1%} "
        f"(by chance {one.low:.1%} to {one.high:.1%}), {one.output_tokens:,} tokens out"
        + (f", {one.ungraded:,} not graded" if one.ungraded else "")
    )


def _confirmed(road: Road) -> bool:
    """Whether to go on after the canary; asked of people only."""
    return road.yes or not sys.stdin.isatty() or click.confirm("Go on?", err=True)


def _say(text: str) -> None:
    click.echo(text, err=True)
