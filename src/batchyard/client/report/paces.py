"""Throughput and latency: of answers that tell when they were made, else of whole batches."""

from collections.abc import Sequence

from batchyard.client.report.charts import columns
from batchyard.client.report.elements import Html, join, tag
from batchyard.client.report.facts import Facts, Flow, Planned
from batchyard.client.report.measures import spread_figure
from batchyard.client.report.tables import figure, section
from batchyard.client.report.wording import count, day_and_time, few, lasting

__all__ = ["times"]

_STRETCHES = {1: "second", 60: "minute", 3_600: "hour", 86_400: "day", 604_800: "week"}


def times(facts: Facts) -> Html | None:
    """The section on latency and throughput."""
    flow, latency = facts.flow, facts.latency
    batches = [one for one in facts.planned if 0 < one.created_at <= one.ended_at]
    if flow is None and latency is None and not batches:
        return None
    untold = "These answers do not tell how long each of them took."
    return section(
        "time",
        "Throughput and latency",
        _flow(flow) if flow is not None else _throughput(batches),
        spread_figure("latency", "Time to an answer", latency, lasting, "", "answers that tell it")
        or join(tag("p", untold, class_="soft"), _latency(batches)),
    )


def _flow(flow: Flow) -> Html:
    answers, lasted = sum(flow.counts), len(flow.counts) * flow.step
    ends = flow.begins + lasted
    each = _STRETCHES.get(flow.step) or lasting(flow.step)
    most = max(flow.counts)
    told = (
        f"{count(answers)} answers from {day_and_time(flow.begins)} to {day_and_time(ends)}; "
        f"{few(answers / lasted)} a second, at most {few(most / flow.step)} a second"
    )
    if len(flow.counts) == 1:
        return tag("p", f"All {count(answers)} answers were made within {lasting(flow.step)}.")
    plot = columns("flow", "Answers over time", told, flow.counts)
    caption = f"Answers per {each}, up to {count(most)}. {told}."
    shown = figure(caption, plot, day_and_time(flow.begins), day_and_time(ends))
    return tag("div", tag("h3", "Answers over time"), shown, class_="field")


def _throughput(batches: Sequence[Planned]) -> Html | None:
    """Requests a second of each batch, from its submission to its end."""
    if not batches:
        return None
    rates = [one.requests / _seconds(one) for one in batches]
    requests = sum(one.requests for one in batches)
    lasted = max(one.ended_at for one in batches) - min(one.created_at for one in batches)
    whole = max(1, lasted)
    told = (
        f"{count(requests)} requests in {lasting(whole)}, {few(requests / whole)} a second; "
        f"of one batch at most {few(max(rates))} a second"
    )
    title = "Requests a second of each batch, while it was at the server"
    return _bars("batch-throughput", title, told, batches, rates)


def _latency(batches: Sequence[Planned]) -> Html | None:
    """How long each batch was at the server, which is no time of an answer."""
    if not batches:
        return None
    took = [_seconds(one) for one in batches]
    told = f"From {lasting(min(took))} to {lasting(max(took))}"
    title = "Time from a batch's submission to its end"
    return _bars("batch-latency", title, told, batches, took)


def _bars(
    id: str, title: str, told: str, batches: Sequence[Planned], heights: Sequence[float]
) -> Html:
    if len(batches) == 1:
        shown = tag("p", f"{told}: one batch, {batches[0].name}.")
    else:
        told = f"{told}. {count(len(batches))} batches, in the order of their submission."
        plot = columns(id, title, told, heights)
        shown = figure(told, plot, batches[0].name, batches[-1].name)
    return tag("div", tag("h3", title), shown, class_="field")


def _seconds(one: Planned) -> int:
    """How long a batch was at the server; its clock tells whole seconds."""
    return max(1, one.ended_at - one.created_at)
