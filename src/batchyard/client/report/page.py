"""The page of a report: one HTML file, whole by itself; it loads nothing and runs nothing."""

from collections.abc import Iterator
from pathlib import Path

from batchyard import __version__
from batchyard.client.report import measures, paces, sections
from batchyard.client.report.elements import Html, join, tag
from batchyard.client.report.facts import Facts
from batchyard.client.report.wording import count, day_and_time, few, part, span, usd

__all__ = ["render"]

# Even if markup got in that is not ours: nothing of it would be loaded, run or sent.
_POLICY = "default-src 'none'; style-src 'unsafe-inline'; base-uri 'none'; form-action 'none'"
_STYLES = Path(__file__).with_name("page.css")


def render(facts: Facts) -> bytes:
    """The whole file."""
    parts = {
        "Outcomes": ("outcomes", sections.outcomes(facts)),
        "Labels": ("labels", measures.labels(facts)),
        "Agreement": ("agreement", measures.agreement(facts)),
        "Scores": ("scores", measures.scores(facts)),
        "Cost": ("cost", measures.spending(facts)),
        "Time": ("time", paces.times(facts)),
        "Errors": ("errors", sections.faults(facts)),
        "Examples": ("examples", sections.examples_of_answers(facts)),
        "Asked": ("asked", sections.asked(facts)),
        "Plan": ("plan", sections.plan(facts)),
    }
    there = {name: one for name, one in parts.items() if one[1] is not None}
    links = [tag("li", tag("a", name, href=f"#{id}")) for name, (id, _) in there.items()]
    body = join(
        tag("header", *_head(facts)),
        tag(
            "main",
            tag("nav", tag("ul", *links), aria_label="Sections"),
            *(inside for _, inside in there.values()),
        ),
        tag("footer", tag("p", _foot(facts))),
    )
    head = join(
        tag("meta", charset="utf-8"),
        tag("meta", http_equiv="Content-Security-Policy", content=_POLICY),
        tag("meta", name="viewport", content="width=device-width, initial-scale=1"),
        tag("meta", name="color-scheme", content="light dark"),
        tag("meta", name="generator", content=f"Batchyard {__version__}"),
        tag("title", f"{facts.title} · Batchyard report"),
        tag("style", Html(_STYLES.read_text(encoding="utf-8"))),
    )
    page = join(
        Html("<!doctype html>\n"), tag("html", tag("head", head), tag("body", body), lang="en")
    )
    return f"{page}\n".encode()


def _head(facts: Facts) -> Iterator[Html]:
    yield tag("p", "Batch report", class_="brow")
    yield tag("h1", facts.title)
    succeeded = facts.outcomes["succeeded"]
    asked = facts.asked
    models = list(asked.models) if asked else [one.model for one in facts.spending]
    told = [
        *(list(asked.endpoints) if asked else []),
        ", ".join(models[:3]) + (f" and {len(models) - 3} more" if len(models) > 3 else ""),
        day_and_time(facts.made_at),
    ]
    yield tag("p", " · ".join(one for one in told if one), class_="soft")
    others = [
        f"{count(number)} {sections.OUTCOME_NAMES[name].lower()}"
        for name, number in facts.outcomes.items()
        if number and name != "succeeded"
    ]
    nouns = f"{sections.noun_of(facts)}s"
    lead = (
        f"All {count(facts.requests)} {nouns} succeeded."
        if succeeded == facts.requests and succeeded
        else f"{count(succeeded)} of {count(facts.requests)} {nouns} succeeded"
        + (f"; {', '.join(others)}." if others else ".")
    )
    yield tag("p", lead, class_="lead")
    yield tag("dl", *_figures(facts), class_="figures")


def _figures(facts: Facts) -> Iterator[Html]:
    succeeded = facts.outcomes["succeeded"]
    yield _figure(
        "Succeeded",
        part(succeeded, facts.requests),
        f"{count(succeeded)} of {count(facts.requests)}",
    )
    if (agreed := facts.agreement) is not None and agreed.compared:
        f1 = (
            ""
            if agreed.macro_f1 is None or not agreed.are_classes
            else f"macro F1 {agreed.macro_f1:.3f}"
        )
        yield _figure("Accuracy", part(agreed.right, agreed.compared), f1)
    if facts.spending:
        read = sum(one.input_tokens for one in facts.spending)
        written = sum(one.output_tokens for one in facts.spending)
        yield _figure("Tokens", few(read + written), f"{few(read)} in, {few(written)} out")
    if facts.cost is not None:
        told = facts.estimate
        beside = "" if told is None else f"estimated {span(*told.batch_usd)}"
        yield _figure("Cost", usd(facts.cost.usd), beside)
    if (flow := facts.flow) is not None and len(flow.counts) > 1:
        rate = sum(flow.counts) / (len(flow.counts) * flow.step)
        most = max(flow.counts) / flow.step
        yield _figure("Answers a second", few(rate), f"at most {few(most)}")


def _figure(name: str, number: str, under: str) -> Html:
    return tag(
        "div",
        tag("dt", name),
        tag("dd", number),
        tag("dd", under, class_="under") if under else None,
    )


def _foot(facts: Facts) -> Html:
    return join(
        f"Made by Batchyard {__version__} on {day_and_time(facts.made_at)}. "
        "This file is whole by itself: it loads nothing and runs nothing."
    )
