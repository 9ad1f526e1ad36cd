"""What is wrong with a file of requests for one target: all of it, before anything is sent.

The rules are the server's own (`rules/validate`); what a target has beside them stands here.
"""

from collections.abc import Callable, Iterable, Iterator, Sequence
from typing import Literal

from msgspec import Struct
from msgspec.structs import replace

from batchyard.client.apis.targets import Target
from batchyard.client.examining.advice import advice_for
from batchyard.client.examining.hints import Hint, Hints
from batchyard.client.examining.reading import shortened
from batchyard.rules.endpoints import covers
from batchyard.rules.validate import Digest, study
from batchyard.wire.objects import BatchError

__all__ = ["Finding", "Report", "check", "findings_of", "quoted"]

Chunks = Callable[[], Iterable[bytes]]


class Finding(Struct, frozen=True, kw_only=True, omit_defaults=True):
    """Something wrong: `lines` have it, `line` is the first; `quote` is that line's beginning."""

    severity: Literal["error", "warning"]
    code: str
    message: str
    line: int | None = None
    param: str | None = None
    quote: str | None = None
    fix: str | None = None
    lines: int = 1


class Report(Struct, frozen=True, kw_only=True):
    """What a file asks for, and all that is wrong with it."""

    target: str
    endpoint: str | None
    bytes: int
    requests: int
    urls: dict[str, int]
    models: dict[str, int]
    embedding_inputs: int
    input_tokens: int
    findings: tuple[Finding, ...]

    @property
    def errors(self) -> tuple[Finding, ...]:
        """For these the target refuses the file."""
        return tuple(one for one in self.findings if one.severity == "error")

    @property
    def warnings(self) -> tuple[Finding, ...]:
        """The target takes the file in spite of these."""
        return tuple(one for one in self.findings if one.severity == "warning")


def check(
    chunks: Chunks,
    target: Target,
    *,
    endpoint: str | None = None,
    known_model: Callable[[str], bool] | None = None,
    served: Sequence[str] = (),
    enqueued_tokens_max: int | None = None,
) -> Report:
    """Check a file, which is read once, and again only where something is wrong.

    Without `endpoint`, the first sound line says what the batch is for. `served` are the models
    that are told where one is not known.
    """
    known = known_model or _any_model
    hints = Hints(openai_models=target.openai_models)
    limits = target.limits
    digest, errors = study(
        chunks,
        endpoint=endpoint,
        limits=limits,
        known_model=known,
        served=served,
        beside=hints.feed,
    )
    first = endpoint or next(iter(digest.urls), None)
    if endpoint is None and first and not all(covers(first, url) for url in digest.urls):
        digest, errors = study(
            chunks, endpoint=first, limits=limits, known_model=known, served=served
        )
    found = [
        *findings_of(errors),
        *_too_many_tokens(digest, enqueued_tokens_max or target.enqueued_tokens_max),
        *map(_hinted, hints.finish(digest, chunks)),
        *_looks_wrong(hints, digest, target),
    ]
    if target.bare_lines:
        found = [_bare(one) for one in found]
    return Report(
        target=target.name,
        endpoint=first,
        bytes=digest.bytes,
        requests=digest.lines,
        urls=digest.urls,
        models=digest.models,
        embedding_inputs=digest.embedding_inputs,
        input_tokens=digest.input_tokens,
        findings=tuple(quoted(found, chunks)),
    )


def findings_of(errors: Iterable[BatchError]) -> list[Finding]:
    """Errors of the rules, with what mends each."""
    return [
        Finding(
            severity="error",
            code=one.code,
            message=one.message,
            line=one.line,
            param=one.param,
            fix=advice_for(one.code, one.param, one.message),
        )
        for one in errors
    ]


def quoted(found: list[Finding], chunks: Chunks) -> Iterator[Finding]:
    """The findings with the beginnings of their lines; reads no further than the last of them."""
    wanted = {one.line for one in found if one.line is not None}
    quotes: dict[int, str] = {}
    if wanted:
        last, number, held = max(wanted), 0, b""
        for chunk in chunks():
            lines = (held + chunk).split(b"\n")
            # Of a line that goes on only the beginning can be shown.
            held = lines.pop()[:1_024]
            for place, line in enumerate(lines, number + 1):
                if place in wanted:
                    quotes[place] = shortened(line)
            number += len(lines)
            if number >= last:
                break
        if number + 1 in wanted and held:
            quotes[number + 1] = shortened(held)
    for one in found:
        yield replace(one, quote=quotes.get(one.line)) if one.line is not None else one


def _any_model(_model: str) -> bool:
    return True


def _hinted(hint: Hint) -> Finding:
    return Finding(
        severity="warning",
        code=hint.code,
        message=hint.message,
        line=hint.line,
        param=hint.param,
        fix=hint.fix,
        lines=hint.lines,
    )


def _looks_wrong(hints: Hints, digest: Digest, target: Target) -> Iterator[Finding]:
    if hints.bom:
        yield Finding(
            severity="error" if target.refuses_bom else "warning",
            code="byte_order_mark",
            message="The file begins with a byte order mark"
            + (f", which {target.name} refuses." if target.refuses_bom else "."),
            line=1,
            fix=advice_for("byte_order_mark", None),
        )
    blank = digest.blank_lines
    if blank:
        yield Finding(
            severity="error" if target.refuses_blank_lines else "warning",
            code="blank_lines",
            message=f"The file has {blank:,} blank line{'s' if blank > 1 else ''}"
            + (f", which {target.name} refuses." if target.refuses_blank_lines else "."),
            fix=advice_for("blank_lines", None),
        )
    if len(digest.models) > 1:
        often = sorted(digest.models.items(), key=lambda pair: -pair[1])
        told = ", ".join(f"'{model}' ({lines:,})" for model, lines in often[:5])
        yield Finding(
            severity="warning",
            code="mixed_models",
            message=f"The file asks {len(often)} models: {told}{' …' if len(often) > 5 else ''}.",
            fix=advice_for("mismatched_model", None),
        )


def _too_many_tokens(digest: Digest, most: int | None) -> Iterator[Finding]:
    if most is not None and digest.input_tokens > most:
        yield Finding(
            severity="error",
            code="token_limit_exceeded",
            message=f"The file has about {digest.input_tokens:,} input tokens; {most:,} may be "
            "enqueued.",
            fix=advice_for("token_limit_exceeded", None),
        )


def _bare(one: Finding) -> Finding:
    """Where lines need no method and no url, their absence is worth a warning only."""
    if one.code != "missing_required_parameter" or one.param not in ("method", "url"):
        return one
    return replace(
        one,
        severity="warning",
        message=f"{one.message} This target does without; the rest of the line was not checked.",
    )
