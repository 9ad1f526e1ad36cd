"""What was asked, how it was planned, how it ended, and what went wrong."""

from collections.abc import Iterator

from batchyard.client.report.charts import meter, strip
from batchyard.client.report.elements import Html, join, tag
from batchyard.client.report.facts import Facts
from batchyard.client.report.tables import examples, pairs, section, table
from batchyard.client.report.wording import count, part

__all__ = ["OUTCOME_NAMES", "asked", "examples_of_answers", "faults", "noun_of", "outcomes", "plan"]

OUTCOME_NAMES = {
    "succeeded": "Succeeded",
    "errored": "Errored",
    "expired": "Expired",
    "cancelled": "Cancelled",
    "invalid_output": "Invalid output",
    "missing": "Missing",
}
_MEANINGS = {
    "succeeded": "An answer that counts.",
    "errored": "The model server refused the request or failed at it.",
    "expired": "The batch ended before the request had its turn.",
    "cancelled": "The batch was cancelled before the request had its turn.",
    "invalid_output": "There is an answer, and it is not what was asked for.",
    "missing": "The server's files have no line for the request.",
}


def asked(facts: Facts) -> Html | None:
    """The section on what was asked."""
    told = facts.asked
    if told is None:
        return None
    return section(
        "asked",
        "What was asked",
        pairs(
            ("Server", tag("span", told.base_url, class_="id")),
            ("Endpoint", _with_counts(told.endpoints)),
            ("Model", _with_counts(told.models)),
            *(
                (name, tag("span", value, class_="id"))
                for name, value in list(told.parameters.items())[:20]
            ),
            ("Completion window", told.window),
            ("Input", tag("span", f"sha256 {told.sha256}", class_="id")),
        ),
        join(tag("h3", "Instructions"), tag("pre", told.instructions, dir="auto"))
        if told.instructions
        else None,
        join(
            tag("h3", "First request ", tag("span", told.first_id, class_="id soft")),
            tag("pre", told.first, dir="auto"),
        )
        if told.first
        else None,
        join(tag("h3", "Schema of the answer"), tag("pre", told.schema)) if told.schema else None,
    )


def plan(facts: Facts) -> Html | None:
    """The section on the batches."""
    if not facts.planned:
        return None
    rounds = (
        "All were asked in one round."
        if facts.rounds <= 1
        else f"What failed for the moment was asked again, in {facts.rounds} rounds."
    )
    batches = "1 batch" if facts.batches == 1 else f"{count(facts.batches)} batches"
    rows = [
        (
            one.name,
            count(one.round),
            count(one.requests),
            count(one.tokens),
            join(
                one.status,
                tag("br") if one.trouble else None,
                tag("span", one.trouble, class_="soft said") if one.trouble else None,
            ),
            tag("span", one.batch_id or "–", class_="id"),
        )
        for one in facts.planned
    ]
    left_out = facts.batches - len(rows)
    return section(
        "plan",
        "Plan",
        tag("p", f"{_requests(facts)}, {batches}. {rounds}"),
        table(
            "Batches, in the order of their submission",
            ("File", "Round", "Requests", "Input tokens, about", "Status", "Batch"),
            rows,
            numbers=(1, 2, 3),
        ),
        tag("p", f"… and {count(left_out)} more.", class_="soft") if left_out else None,
    )


def outcomes(facts: Facts) -> Html:
    """The section on how the requests ended."""
    whole, noun = facts.requests, noun_of(facts)
    nouns = f"{noun.capitalize()}s"
    said = ", ".join(
        f"{count(number)} {OUTCOME_NAMES[name].lower()}" for name, number in facts.outcomes.items()
    )
    rows = [
        (
            join(tag("span", class_=f"mark {name}", aria_hidden="true"), OUTCOME_NAMES[name]),
            count(number),
            part(number, whole),
            tag("span", _MEANINGS[name], class_="soft"),
        )
        for name, number in facts.outcomes.items()
    ]
    unread = facts.unreadable
    return section(
        "outcomes",
        "Outcomes",
        strip("outcome-strip", f"{nouns} by outcome", said, [*facts.outcomes.items()]),
        table(
            f"Every {noun} has exactly one outcome",
            ("Outcome", nouns, "Share", "Meaning"),
            rows,
            numbers=(1, 2),
            class_="outcomes",
            last=("All", count(whole), part(whole, whole), ""),
        ),
        tag("p", _sources(facts)) if set(facts.sources) - {"asked"} else None,
        tag("p", _tries(facts)) if len(facts.tries) > 1 else None,
        tag("p", f"{count(unread)} lines could not be read and are in no count.")
        if unread
        else None,
    )


def faults(facts: Facts) -> Html | None:
    """The section on what went wrong, by code."""
    if not facts.faults:
        return None
    failed = facts.requests - facts.outcomes["succeeded"]
    nouns = f"{noun_of(facts)}s"
    rows = [
        (
            tag("span", one.code or "(no code)", class_="id"),
            OUTCOME_NAMES[one.outcome],
            count(one.count),
            part(one.count, failed),
            meter(one.count / failed, one.outcome),
        )
        for one in facts.faults
    ]
    others = facts.other_faults
    return section(
        "errors",
        "Errors by code",
        table(
            f"{count(failed)} {nouns} without an answer that counts",
            ("Code", "Outcome", nouns.capitalize(), "Of these", ""),
            rows,
            numbers=(2, 3),
        ),
        tag("p", f"{count(others)} more have other codes.", class_="soft") if others else None,
        *_fault_examples(facts),
    )


def examples_of_answers(facts: Facts) -> Html | None:
    """The section that shows some answers."""
    if not facts.samples:
        return None
    return section(
        "examples",
        "Some answers",
        tag("p", "Drawn by lot from those that succeeded.", class_="soft"),
        examples(facts.samples),
    )


def noun_of(facts: Facts) -> str:
    """What is counted."""
    return "row" if facts.rows else "request"


def _fault_examples(facts: Facts) -> Iterator[Html]:
    for one in facts.faults:
        messages = dict.fromkeys(each.answered for each in one.samples if each.answered)
        if not messages and not any(each.asked for each in one.samples):
            continue
        yield tag(
            "div",
            tag(
                "h3",
                tag("span", one.code or "(no code)", class_="id"),
                tag("span", f"{len(one.samples)} of {count(one.count)}", class_="soft"),
            ),
            *(tag("p", message, class_="said answered", dir="auto") for message in messages),
            tag(
                "ul",
                *(
                    tag(
                        "li",
                        tag("span", each.custom_id, class_="id"),
                        tag("span", each.asked, class_="said soft", dir="auto"),
                    )
                    for each in one.samples
                ),
                class_="asked",
            ),
            class_="fault",
        )


def _requests(facts: Facts) -> str:
    number = sum(facts.asked.endpoints.values()) if facts.asked else 0
    return "1 request" if number == 1 else f"{count(number)} requests"


def _sources(facts: Facts) -> str:
    named = {
        "asked": "asked by themselves",
        "same": "answered by a row that asks the same",
        "cache": "answered by an earlier campaign",
        "canary": "answered by the sample that was tried at once before",
        "none": "not asked, as they have no text",
    }
    told = [
        f"{count(facts.sources[name])} {how}"
        for name, how in named.items()
        if name in facts.sources
    ]
    return f"{facts.requests:,} rows: {', '.join(told)}."


def _tries(facts: Facts) -> str:
    often = {1: "once", 2: "twice"}
    told = [
        f"{count(number)} {'were' if number > 1 else 'was'} asked "
        f"{often.get(times) or f'{times} times'}"
        for times, number in enumerate(facts.tries, 1)
        if number
    ]
    return f"Of the requests, {', '.join(told)}."


def _with_counts(named: object) -> Html | None:
    """Names with how often each is meant; a name alone where there is but one."""
    if not isinstance(named, dict) or not named:
        return None
    shown = list(named.items())[:12]
    if len(named) == 1:
        return tag("span", shown[0][0] or "(not named)", class_="id")
    lines = [
        join(tag("span", name or "(not named)", class_="id"), f" · {count(number)}", tag("br"))
        for name, number in shown
    ]
    return join(*lines, f"and {len(named) - 12} more" if len(named) > 12 else None)
