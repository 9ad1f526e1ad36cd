"""Labels, agreement with gold labels, scores, tokens and dollars."""

from collections.abc import Callable

from batchyard.client.report.agreement import Agreement
from batchyard.client.report.answers import WHOLE
from batchyard.client.report.charts import columns, meter
from batchyard.client.report.elements import Html, Piece, join, tag
from batchyard.client.report.facts import Facts, Field
from batchyard.client.report.tables import figure, scrolled, section, table
from batchyard.client.report.tallies import Spread
from batchyard.client.report.wording import count, few, part, span, usd

__all__ = ["agreement", "labels", "name_of", "scores", "spending", "spread_figure"]

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
    if told.macro_f1 is not None and told.are_classes:
        lines.append(f", macro F1 {told.macro_f1:.3f}")
    lines.append(". A result without an answer counts as wrong; letter case does not matter.")
    if told.without_gold:
        lines.append(f" {count(told.without_gold)} results have no gold label.")
    if not told.are_classes:
        lines.append(" There are too many labels to show them one by one.")
    return section(
        "agreement",
        "Agreement with gold labels",
        tag("p", "".join(lines)),
        None if facts.scorer else _models(facts),
        _matrix(facts, told) if told.are_classes and len(told.labels) <= _MATRIX_MAX else None,
        _scores(told) if told.are_classes else None,
    )


def scores(facts: Facts) -> Html | None:
    """The section on what a scorer says of each model."""
    if not facts.scorer or not facts.scores:
        return None
    left = facts.ungraded
    ungraded = "1 answer without a grade is" if left == 1 else f"{count(left)} without a grade are"
    return section(
        "scores",
        "Scores",
        tag("p", "Scored by: ", tag("span", facts.scorer, class_="said")),
        tag("p", f"{ungraded} in no count.") if left else None,
        _models(facts, least=1),
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
    tried = facts.sources.get("canary")
    again += f" The {count(tried)} that were tried at once before are not." if tried else ""
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
        spread_figure(
            "lengths", "Output tokens of an answer", facts.lengths, few, "tokens", "answers"
        ),
    )


def name_of(field: str) -> str:
    """A field as it is called in a sentence."""
    return "the whole answer" if field == WHOLE else f"“{field}”"


def _field(field: Field, index: int) -> Html | None:
    lists = field.name.endswith("[]")
    name = "The whole answer" if field.name == WHOLE else field.name.removesuffix("[]")
    unit = "times" if lists else "answers"
    if field.spread is not None:
        return spread_figure(f"field-{index}", name, field.spread, few, "", unit)
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
    told = [f"{count(len(field.counts))} labels", f"{count(field.total)} {unit}"]
    told += ["in lists"] if lists else []
    told += ["all that the schema allows"] if field.closed else []
    return tag(
        "div",
        tag("h3", name, class_="said"),
        table(
            ", ".join(told),
            ("Label", unit.capitalize(), "Share", ""),
            rows,
            numbers=(1, 2),
            class_="labels",
        ),
        class_="field",
    )


def _matrix(facts: Facts, told: Agreement) -> Html:
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
    of_all = " (all models)" if len(facts.scores) > 1 else ""
    caption = f"Confusion matrix{of_all}: gold labels down, given ones across"
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


def _models(facts: Facts, least: int = 2) -> Html | None:
    if len(facts.scores) < least:
        return None
    rows = [
        (
            tag("span", one.model, class_="id"),
            count(one.cases),
            count(one.right),
            part(one.right, one.cases),
            f"{part(one.low, 1)} to {part(one.high, 1)}",
            meter(one.right / one.cases),
        )
        for one in facts.scores
    ]
    heads = ("Model", "Cases", "Right", "Accuracy", "95 % confidence", "")
    return table("Each model by itself", heads, rows, numbers=(1, 2, 3, 4))


def _beside_estimate(facts: Facts, read: int, written: int) -> Html | None:
    told = facts.estimate
    if told is None:
        return None
    low, high = told.output_tokens
    priced = len(told.unpriced) < len(told.models)
    cost = "–" if facts.cost is None else usd(facts.cost.usd)
    rows = [
        ("Input tokens", count(told.input_tokens), count(read)),
        (
            "Output tokens",
            count(low) if low == high else f"{count(low)} to {count(high)}",
            count(written),
        ),
        ("Cost of the batches", span(*told.batch_usd) if priced else "–", cost),
        ("One by one", span(*told.realtime_usd) if priced else "–", _realtime(facts)),
    ]
    return join(
        table("Beside the estimate", ("", "Estimated", "Actual"), rows, numbers=(1, 2)),
        tag("p", f"Estimated: {told.method}.", class_="soft"),
    )


def _realtime(facts: Facts) -> str:
    return "–" if facts.cost is None else usd(facts.cost.realtime_usd)


def spread_figure(
    id: str, title: str, spread: Spread | None, say: Callable[[float], str], unit: str, of: str
) -> Html | None:
    """How numbers lie, as columns and in words; `say` puts one of them in words."""
    if spread is None:
        return None

    def said(number: float) -> str:
        return f"{say(number)} {unit}".strip()

    if spread.least == spread.most:
        words = tag("p", f"{said(spread.most)} in all {count(spread.count)} {of}.")
        return tag("div", tag("h3", title, class_="said"), words, class_="field")
    sampled = spread.sampled < spread.count
    drawn = f" (by {count(spread.sampled)} of them, drawn by lot)" if sampled else ""
    told = (
        f"{count(spread.count)} {of}, from {said(spread.least)} to {said(spread.most)}, "
        f"{said(spread.mean)} on average; half are at most {said(spread.p50)}, "
        f"90 % at most {said(spread.p90)}, 99 % at most {said(spread.p99)}{drawn}."
    )
    above = " and more" if spread.most > spread.high else ""
    plot = columns(id, title, told, spread.bins)
    shown = figure(told, plot, said(spread.low), f"{said(spread.high)}{above}")
    return tag("div", tag("h3", title, class_="said"), shown, class_="field")
