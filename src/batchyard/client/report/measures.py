"""Labels, agreement with gold labels, tokens and dollars, and time."""

from collections.abc import Callable

from batchyard.client.report.agreement import Agreement
from batchyard.client.report.answers import WHOLE
from batchyard.client.report.charts import columns, meter
from batchyard.client.report.elements import Html, Piece, join, tag
from batchyard.client.report.facts import Facts, Field, Flow
from batchyard.client.report.tables import figure, pairs, scrolled, section, table
from batchyard.client.report.tallies import Spread
from batchyard.client.report.wording import count, day_and_time, few, lasting, part, span, usd

__all__ = ["agreement", "labels", "name_of", "spending", "times"]

_FIELDS_SHOWN = 12
_ROWS_SHOWN = 40
_MATRIX_MAX = 20


def labels(facts: Facts) -> Html | None:
    """The section on what the answers say."""
    if not facts.fields:
        return None
    shown = facts.fields[:_FIELDS_SHOWN]
    left_out = len(facts.fields) - len(shown)
    return section(
        "labels",
        "Labels",
        *(_field(one, index) for index, one in enumerate(shown)),
        tag("p", f"… and {left_out} more fields.", class_="soft") if left_out else None,
    )


def agreement(facts: Facts) -> Html | None:
    """The section on how far labels agree with gold labels."""
    told = facts.agreement
    if told is None:
        return None
    if not told.compared:
        text = f"None of {count(told.without_gold)} results has a gold label."
        return section("agreement", "Agreement with gold labels", tag("p", text))
    low, high = told.interval
    lines = [
        f"{count(told.right)} of {count(told.compared)} results have the gold label in "
        f"{name_of(told.field)}: accuracy {part(told.right, told.compared)} "
        f"(95 % confidence: {part(low, 1)} to {part(high, 1)})"
    ]
    if told.macro_f1 is not None:
        lines.append(f", macro F1 {told.macro_f1:.3f}")
    lines.append(". A result without an answer counts as wrong; letter case does not count.")
    if told.without_gold:
        lines.append(f" {count(told.without_gold)} results have no gold label.")
    if told.left_out:
        lines.append(f" {count(told.left_out)} have labels too rare to show.")
    return section(
        "agreement",
        "Agreement with gold labels",
        tag("p", "".join(lines)),
        _matrix(told) if len(told.labels) <= _MATRIX_MAX else None,
        _scores(told),
    )


def spending(facts: Facts) -> Html | None:
    """The section on tokens and dollars, beside what was estimated."""
    if not facts.spending:
        return None
    rows = [
        (
            tag("span", one.model or "(not named)", class_="id"),
            count(one.answers),
            count(one.input_tokens),
            count(one.cached_tokens),
            count(one.output_tokens),
            count(one.reasoning_tokens),
            "–" if one.usd is None else usd(one.usd),
        )
        for one in facts.spending
    ]
    sums = [
        sum(getattr(one, name) for one in facts.spending)
        for name in (
            "answers",
            "input_tokens",
            "cached_tokens",
            "output_tokens",
            "reasoning_tokens",
        )
    ]
    paid = "–" if facts.cost is None else usd(facts.cost.usd)
    again = " Answers that did not last are counted too." if facts.again else ""
    priced = (
        "No price is known of these models."
        if facts.cost is None
        else f"Prices: {facts.cost.prices}. One by one it would have been "
        f"{usd(facts.cost.realtime_usd)}; the batch saved {usd(facts.cost.saved_usd)}."
    )
    return section(
        "cost",
        "Tokens and cost",
        tag("p", f"As the answers themselves count.{again} {priced}"),
        table(
            "By the model that answered",
            ("Model", "Answers", "Input", "of it cached", "Output", "of it reasoning", "Cost"),
            rows,
            numbers=(1, 2, 3, 4, 5, 6),
            last=("All", *map(count, sums), paid),
        ),
        _beside_estimate(facts, sums[1], sums[3]),
        _spread_figure(
            "lengths", "Output tokens of an answer", facts.lengths, few, "tokens", "answers"
        ),
    )


def times(facts: Facts) -> Html | None:
    """The section on latency and throughput."""
    flow = facts.flow
    if flow is None and facts.latency is None:
        return None
    return section(
        "time",
        "Throughput and latency",
        None if flow is None else _flow(flow),
        _spread_figure(
            "latency", "Time to an answer", facts.latency, lasting, "", "answers that tell it"
        )
        or tag("p", "These answers do not tell how long each of them took.", class_="soft"),
    )


def name_of(field: str) -> str:
    """A field as it is called in a sentence."""
    return "the whole answer" if field == WHOLE else f"“{field}”"


def _field(field: Field, index: int) -> Html:
    name = "The whole answer" if field.name == WHOLE else field.name
    if field.spread is not None:
        inner = _spread_figure(f"field-{index}", name, field.spread, few, "", "answers")
        return inner or Html("")
    most = max(field.counts.values(), default=0) or 1
    listed = list(field.counts.items())[:_ROWS_SHOWN]
    rows: list[tuple[Piece, ...]] = [
        (
            tag("span", label or "(empty)", class_="said"),
            count(number),
            part(number, field.total),
            meter(number / most),
        )
        for label, number in listed
    ]
    others = field.total - sum(number for _, number in listed)
    if others:
        rows.append(("(others)", count(others), part(others, field.total), meter(others / most)))
    listing = "; the schema lists them all" if field.closed else ""
    caption = f"{name}: {count(len(field.counts))} labels in {count(field.total)} answers{listing}"
    return table(caption, ("Label", "Answers", "Share", ""), rows, numbers=(1, 2))


def _matrix(told: Agreement) -> Html:
    unanswered = any(told.unanswered)
    heads = [tag("th", one, scope="col") for one in told.labels]
    if unanswered:
        heads.append(tag("th", "(no answer)", scope="col"))
    rows = []
    for index, label in enumerate(told.labels):
        counts = list(told.matrix[index])
        if unanswered:
            counts.append(told.unanswered[index])
        whole = sum(counts) or 1
        cells = [
            tag(
                "td",
                count(number),
                class_=f"n {'nil' if not number else 'hit' if index == column else 'miss'}",
                style=f"--share:{number / whole:.3f}" if number else None,
            )
            for column, number in enumerate(counts)
        ]
        rows.append(tag("tr", tag("th", label, scope="row", class_="said"), *cells))
    caption = "Confusion matrix: a row for each gold label, a column for each label given"
    corner = tag("th", "gold \\ given", scope="col")
    whole_table = tag(
        "table",
        tag("caption", caption),
        tag("thead", tag("tr", corner, *heads)),
        tag("tbody", *rows),
        class_="matrix",
    )
    return scrolled(caption, whole_table)


def _scores(told: Agreement) -> Html:
    def said(number: float | None) -> str:
        return "–" if number is None else f"{number:.3f}"

    rows = [
        (
            tag("span", one.label, class_="said"),
            said(one.precision),
            said(one.recall),
            said(one.f1),
            count(one.gold),
            count(one.given),
        )
        for one in told.scores
    ]
    heads = ("Label", "Precision", "Recall", "F1", "Gold", "Given")
    return table("Each label by itself", heads, rows, numbers=(1, 2, 3, 4, 5))


def _beside_estimate(facts: Facts, read: int, written: int) -> Html | None:
    told = facts.estimate
    if told is None:
        return None
    low, high = told.output_tokens
    priced = len(told.unpriced) < len(told.models)
    cost = "–" if facts.cost is None else usd(facts.cost.usd)
    rows = [
        ("Input tokens", count(told.input_tokens), count(read)),
        ("Output tokens", f"{count(low)} to {count(high)}", count(written)),
        ("Cost of the batches", span(*told.batch_usd) if priced else "–", cost),
        ("One by one", span(*told.realtime_usd) if priced else "–", _realtime(facts)),
    ]
    return join(
        table("Beside the estimate", ("", "Estimated", "Actual"), rows, numbers=(1, 2)),
        tag("p", f"Estimated: {told.method}.", class_="soft"),
    )


def _realtime(facts: Facts) -> str:
    return "–" if facts.cost is None else usd(facts.cost.realtime_usd)


def _flow(flow: Flow) -> Html:
    answers, lasted = sum(flow.counts), len(flow.counts) * flow.step
    ends = flow.begins + lasted
    each = "second" if flow.step == 1 else lasting(flow.step)
    most = max(flow.counts)
    told = (
        f"{count(answers)} answers from {day_and_time(flow.begins)} to {day_and_time(ends)}; "
        f"{few(answers / lasted)} a second, at most {few(most / flow.step)} a second"
    )
    if len(flow.counts) == 1:
        return tag("p", f"All {count(answers)} answers were made within {lasting(flow.step)}.")
    plot = columns("flow", "Answers over time", told, flow.counts)
    caption = f"Answers per {each}, up to {count(most)}: {told}."
    return figure(caption, plot, day_and_time(flow.begins), day_and_time(ends))


def _spread_figure(
    id: str, title: str, spread: Spread | None, say: Callable[[float], str], unit: str, of: str
) -> Html | None:
    """How numbers lie, as columns and in words; `say` puts one of them in words."""
    if spread is None:
        return None

    def said(number: float) -> str:
        return f"{say(number)} {unit}".strip()

    drawn = f", drawn from {count(spread.sampled)} of them" if spread.sampled < spread.count else ""
    told = (
        f"half are at most {said(spread.p50)}, 90 % at most {said(spread.p90)}, "
        f"99 % at most {said(spread.p99)}{drawn}"
    )
    if spread.least == spread.most:
        return tag("p", f"{title}: {said(spread.most)} in all {count(spread.count)} {of}.")
    plot = columns(id, title, told, spread.bins)
    above = " and more" if spread.most > spread.high else ""
    return join(
        figure(f"{title}: {told}", plot, said(spread.low), f"{said(spread.high)}{above}"),
        pairs(
            (of[:1].upper() + of[1:], count(spread.count)),
            ("Mean", said(spread.mean)),
            ("Least and most", f"{said(spread.least)}, {said(spread.most)}"),
        ),
    )
