"""The course of one batch: validated, run by whoever leases its shards, settled, ended.

Each step is synchronous, reads what is true now, and ends in one guarded transaction; two that
take the same step at once, or one that takes it again after a crash, do no harm.
"""

from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import suppress
from hashlib import sha256
from random import Random
from typing import NamedTuple

import msgspec

from batchyard.flow.source import request_lines
from batchyard.places.blobs import BlobCorruptError, Blobs
from batchyard.places.contents import chunks_of, span_of, verify
from batchyard.places.log import log
from batchyard.places.store import Work
from batchyard.places.store.rows import (
    AskedModel,
    Content,
    Course,
    FileRow,
    NewShard,
    Part,
    SegmentMark,
    Unanswered,
)
from batchyard.rules.limits import OUTPUT_EXPIRES_SECONDS, Limits
from batchyard.rules.quota import refusal
from batchyard.rules.served import OF_SERVER
from batchyard.rules.settle import Settlement, settle
from batchyard.rules.tokens import tokens_by_model
from batchyard.rules.validate import Digest, Scan, ShardSpan, explain, fits
from batchyard.wire.ids import ORGANIZATION, file_id
from batchyard.wire.lines import line_id, read_line, read_model, render_failure
from batchyard.wire.money import Price
from batchyard.wire.objects import BatchError, BatchErrors

__all__ = ["Desk", "take_step"]


_CAUSES_LOGGED_MAX = 5


class Desk(NamedTuple):
    """What the steps of a course need at hand."""

    work: Work
    blobs: Blobs
    limits: Limits
    known_model: Callable[[str], bool]
    chance: Random
    worker: str
    price: Callable[[str], Price | None]
    served_models: Callable[[], Sequence[str]] = tuple


def take_step(desk: Desk, course: Course, now: int) -> bool:
    """Take the next step of a batch; False when somebody else took it first."""
    if course.status == "validating":
        return _validate(desk, course, now)
    if course.status == "in_progress":
        if not desk.work.begin_finalizing(course, desk.worker, now):
            return False
        course = msgspec.structs.replace(course, status="finalizing", finalizing_at=now)
    if course.status == "cancelling" and not course.populated:
        return _validate(desk, course, now)
    return _finalize(desk, course, now)


def _validate(desk: Desk, course: Course, now: int) -> bool:
    content = desk.work.input_of(course, now)
    if content is None or content.gone:
        missing = BatchError(
            code="invalid_request",
            message=f"Cannot find file {course.input_file_id}, or organization {ORGANIZATION} does "
            "not have access to it.",
            param="file_id",
        )
        return _refuse(desk, course, (missing,), now)
    try:
        verify(desk.blobs, content)
        return _validate_content(desk, course, content, now)
    except BlobCorruptError as fault:
        log.error("file_corrupt", batch=course.id, file=content.file_id, why=str(fault))
        corrupt = BatchError(
            code="file_corrupt",
            message=f"The stored bytes of {content.file_id} are damaged or gone. Upload the file "
            "again.",
            param="file_id",
        )
        return _refuse(desk, course, (corrupt,), now)
    except OSError as fault:
        if course.status == "validating" and course.expires_at > now:
            raise
        # Its end needs no input.
        log.error("file_unreadable", batch=course.id, file=content.file_id, why=str(fault))
        unread = BatchError(
            code="file_corrupt",
            message=f"{content.file_id} could not be read within the completion window. Upload "
            "the file again.",
            param="file_id",
        )
        return _refuse(desk, course, (unread,), now)


def _validate_content(desk: Desk, course: Course, content: Content, now: int) -> bool:
    digest = _digest(desk, content)
    known = desk.known_model
    if not fits(digest, endpoint=course.endpoint, limits=desk.limits, known_model=known):
        errors = explain(
            lambda: chunks_of(desk.blobs, content.parts),
            endpoint=course.endpoint,
            limits=desk.limits,
            known_model=known,
            served=desk.served_models(),
            wording=OF_SERVER,
        )
        if errors:
            return _refuse(desk, course, errors, now)
    model = next(iter(digest.models)) if len(digest.models) == 1 else None
    weights: Counter[str] = Counter()
    shards = list(_cut(desk, content, digest, model, weights))
    asked = _asked(desk, digest, shards, weights)
    unpriced = [one.model for one in asked if one.price is None]
    if "usd" in (course.budget or {}) and unpriced:
        return _refuse(desk, course, (_no_price(unpriced),), now)
    moved = desk.work.populate(
        course, desk.worker, model, shards, now, asked=asked, may_wait=desk.limits.quota_waits
    )
    if isinstance(moved, tuple):
        return _refuse(desk, course, refusal(moved), now)
    log.info("batch_validated", batch=course.id, lines=digest.lines, model=model)
    return moved


def _no_price(models: Sequence[str]) -> BatchError:
    """A budget in dollars would never stop it."""
    return BatchError(
        code="price_unknown",
        message=f"No price is known of {', '.join(models[:10])}: a budget in dollars cannot be "
        "kept. Add a [[price]] to batchyard.toml, or give the budget in tokens.",
        param="budget.usd",
    )


def _asked(
    desk: Desk, digest: Digest, shards: Iterable[NewShard], weights: Counter[str]
) -> tuple[AskedModel, ...]:
    """What the batch asks of each model."""
    lines: Counter[str] = Counter()
    for shard in shards:
        lines[shard.model] += shard.remaining
    tokens = tokens_by_model(digest.input_tokens, weights)
    return tuple(
        AskedModel(model, lines[model], tokens[model], _plain(desk.price(model))) for model in lines
    )


def _plain(price: Price | None) -> dict[str, int | str] | None:
    return None if price is None else msgspec.structs.asdict(price)


def _refuse(desk: Desk, course: Course, errors: tuple[BatchError, ...], now: int) -> bool:
    first = errors[0]
    log.warning(
        "batch_refused",
        batch=course.id,
        code=first.code,
        line=first.line,
        why=first.message,
        errors=len(errors),
    )
    if course.status == "cancelling":
        return desk.work.finish(course, desk.worker, "cancelled", {}, now)
    return desk.work.fail(course, desk.worker, BatchErrors(errors), now)


def _digest(desk: Desk, content: Content) -> Digest:
    if content.digest is not None:
        digest = msgspec.json.decode(content.digest, type=Digest)
        # What stopped it may be a limit that was another when the file came.
        if not digest.stopped:
            return digest
    scan = Scan(desk.limits)
    for chunk in chunks_of(desk.blobs, content.parts):
        scan.feed(chunk)
    return scan.finish()


def _cut(
    desk: Desk, content: Content, digest: Digest, model: str | None, weights: Counter[str]
) -> Iterator[NewShard]:
    """Shards of one model each: where models are mixed, each takes its lines of the span.

    `weights` learns how many bytes the lines of each model have.
    """
    for span in digest.shards:
        if model is not None:
            weights[model] += span.bytes
            yield _shard(span, model, _all(span))
            continue
        text = span_of(desk.blobs, content.parts, span.offset, span.bytes)
        own: Counter[str] = Counter()
        for position, line in enumerate(request_lines(text)):
            name = read_model(line)
            own[name] |= 1 << position
            weights[name] += len(line)
        for name, missing in own.items():
            yield _shard(span, name, missing)


def _all(span: ShardSpan) -> int:
    """The mask of all lines of a span."""
    return (1 << span.lines) - 1


def _shard(span: ShardSpan, model: str, missing: int) -> NewShard:
    others = _all(span) & ~missing
    return NewShard(
        model=model,
        start=span.offset,
        size_bytes=span.bytes,
        first_index=span.first_index,
        lines=span.lines,
        remaining=missing.bit_count(),
        answered=others.to_bytes((span.lines + 7) // 8, "little"),
    )


def _finalize(desk: Desk, course: Course, now: int) -> bool:
    missing = desk.work.unanswered(course.id)
    settlement = settle(course.status, unanswered=sum(shard.remaining for shard in missing))
    segments = desk.work.segments(course.id)
    if wrong := _miscounted(course, segments, sum(shard.remaining for shard in missing)):
        log.error("batch_miscounted", batch=course.id, why=wrong)
        errors = BatchErrors((_miscount(course.id, wrong),))
        return desk.work.stop(course, desk.worker, errors, now)
    tail = _tail(desk, course, missing, settlement, now) if missing else None
    kept = {
        "output_file_id": [mark for mark in segments if mark.kind == "output"],
        "error_file_id": [mark for mark in segments if mark.kind == "error"]
        + ([tail] if tail else []),
    }
    files = {
        column: _result_file(desk, course, column, marks, now)
        for column, marks in kept.items()
        if marks
    }
    ended = desk.work.finish(course, desk.worker, settlement.status, files, now)
    if ended:
        log.info(
            "batch_ended",
            batch=course.id,
            status=settlement.status,
            lines=course.total,
            completed=course.completed,
            failed=course.failed,
            unanswered=course.total - course.completed - course.failed,
            causes=_causes(desk, course) or None,
        )
    elif tail is not None:
        # Somebody else ends this batch, and names a tail of their own.
        desk.blobs.delete([tail.blob])
    return ended


def _causes(desk: Desk, course: Course) -> str:
    """Why lines failed, in short; no message of an upstream stands in the log."""
    counted = desk.work.failures([course.id])[course.id] if course.failed else ()
    return ", ".join(f"{cause.count} {cause.code}" for cause in counted[:_CAUSES_LOGGED_MAX])


def _tail(
    desk: Desk, course: Course, missing: list[Unanswered], settlement: Settlement, now: int
) -> SegmentMark:
    """Write the error lines of all that never got an answer."""
    content = desk.work.input_of(course, now)
    assert content is not None, "a running batch keeps its input"
    # A worker that takes this step anew writes over what it wrote before in vain.
    name = f"results/{course.id}/zz-{desk.worker}.error.jsonl"
    writing = desk.blobs.create(name)
    lines = 0
    try:
        for shard in missing:
            answered = int.from_bytes(shard.answered, "little")
            rendered = [
                render_failure(
                    line_id(course.line_id_prefix, shard.first_index + position),
                    custom_id,
                    settlement.code,
                    settlement.message,
                )
                for position, custom_id in enumerate(_custom_ids(desk, content, shard))
                if not answered >> position & 1
            ]
            lines += len(rendered)
            writing.write(b"".join(rendered))
        return SegmentMark(course.id, name, "error", writing.size_bytes, lines, writing.commit())
    finally:
        writing.abandon()


def _custom_ids(desk: Desk, content: Content, shard: Unanswered) -> Sequence[str | None]:
    """Those of all lines of a shard; None for each where the input cannot be read any more."""
    with suppress(BlobCorruptError, OSError, msgspec.MsgspecError):
        verify(desk.blobs, content)
        text = span_of(desk.blobs, content.parts, shard.start, shard.size_bytes)
        found = [read_line(line).custom_id for line in request_lines(text)]
        if len(found) == shard.lines:
            return found
    return [None] * shard.lines


def _miscounted(course: Course, segments: list[SegmentMark], unanswered: int) -> str | None:
    """How counts and recorded lines disagree: a broken promise, and no file is made of it."""
    lines = {"output": 0, "error": 0}
    for mark in segments:
        lines[mark.kind] += mark.lines
    counted = (course.completed, course.failed, course.total)
    found = (lines["output"], lines["error"], lines["output"] + lines["error"] + unanswered)
    if counted == found:
        return None
    return f"counted {_in_words(counted)}, but recorded {_in_words(found)}"


def _in_words(counts: tuple[int, int, int]) -> str:
    completed, failed, total = counts
    return f"{completed:,} completed and {failed:,} failed of {total:,}"


def _miscount(batch_id: str, wrong: str) -> BatchError:
    return BatchError(
        code="server_error",
        message=f"The results cannot be vouched for: {wrong}. No files were made of them; what was "
        f"recorded can be read from /v1/batches/{batch_id}/results.",
    )


def _result_file(
    desk: Desk, course: Course, column: str, marks: list[SegmentMark], now: int
) -> FileRow:
    lifetime = course.output_expires_after_seconds or OUTPUT_EXPIRES_SECONDS
    whole = marks[0].sha256
    if len(marks) > 1:
        # Of several segments the hash of their hashes stands for the whole; it is as immutable.
        whole = sha256("".join(mark.sha256 for mark in marks).encode()).hexdigest()
    return FileRow(
        id=file_id(desk.chance),
        project_id=course.project_id,
        purpose="batch_output",
        filename=f"{course.id}_{column.removesuffix('_file_id')}.jsonl",
        size_bytes=sum(mark.size_bytes for mark in marks),
        sha256=whole,
        created_at=now,
        expires_at=now + lifetime,
        parts=tuple(Part(mark.blob, mark.size_bytes, mark.sha256) for mark in marks),
    )
