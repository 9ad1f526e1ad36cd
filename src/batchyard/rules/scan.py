"""One pass over a file of requests, whose bytes may be cut anywhere.

Most lines are read many at once (`rules/alike`), for others a glance is enough (`rules/glance`).
Any other line goes to `rules/lines`, which is exact and says what is wrong.
"""

import re
from collections import Counter
from collections.abc import Callable, Collection
from io import BytesIO

from msgspec import Struct
from msgspec.structs import replace

from batchyard.rules.glance import Glance
from batchyard.rules.kinds import Kind
from batchyard.rules.limits import Limits
from batchyard.rules.lines import examine
from batchyard.rules.marks import Marks, Repeats
from batchyard.rules.served import Unserved
from batchyard.rules.skim import Skim
from batchyard.wire.lines import BOM
from batchyard.wire.objects import BatchError

__all__ = ["Digest", "Scan", "ShardSpan"]

_SHARD_BYTES = 2 << 20
# So many bytes are read at once, at most. After an odd line it is a line, and soon more again.
_RUN_BYTES = 1 << 17
_RUN_GROWTH = 1 << 4
# Possessive, or many spaces without a line feed would be tried in every way.
_BLANK_LINES = rb"(?:[ \t\r\v\f]*+\n){1,65536}"
# As many lines are remembered, at most, while those are sought that share a custom_id.
_FIRST_LINES_MAX = 10_000


class ShardSpan(Struct, frozen=True, array_like=True):
    """A run of request lines; indexes count request lines from 0, blank lines do not count."""

    offset: int
    bytes: int
    first_index: int
    lines: int

    @property
    def end(self) -> int:
        """Where the next span may begin."""
        return self.offset + self.bytes


class Digest(Struct, frozen=True, kw_only=True):
    """What one pass over a file has learned.

    `shards` follow one another; nothing but long runs of blank lines lies between them. `urls`
    and `models` count lines ("" stands for no model); `suspects` tells that two lines may share a
    custom_id, which only `explain` decides; `input_tokens` is an estimate (bytes / 4).
    `blank_lines` are not among the `lines`.
    `stopped`: no batch can be made of the file whatever its rest says, so of that only bytes and
    lines were counted; there are no shards, and `errors_total` is the least that it can be.
    """

    bytes: int
    lines: int
    shards: tuple[ShardSpan, ...]
    urls: dict[str, int]
    models: dict[str, int]
    embedding_inputs: int
    input_tokens: int
    errors: tuple[BatchError, ...]
    errors_total: int
    suspects: bool
    blank_lines: int = 0
    stopped: bool = False


class Scan:
    """Fed with chunks of a file, tells at the end what it has seen.

    Holds one unfinished line at most, and eight bytes for each line. With `repeats` of an earlier
    scan it tells which lines share a custom_id.
    """

    def __init__(
        self,
        limits: Limits,
        *,
        endpoint: str | None = None,
        known_model: Callable[[str], bool] | None = None,
        repeats: Repeats | None = None,
        unserved: Callable[[str], str] | None = None,
    ) -> None:
        self._limits, self._endpoint = limits, endpoint
        self._known = known_model or (lambda _model: True)
        self._unserved = unserved or Unserved()
        self._glance = Glance(limits)
        self._run_bytes = _RUN_BYTES
        self._tail: list[bytes] = []
        self._tail_bytes = 0
        self._bytes = self._line = self._lines = 0
        self._shards: list[ShardSpan] = []
        self._shard_start = self._shard_first = 0
        self._kinds: dict[tuple[str, str], Kind] = {}
        self._models: set[str] = set()
        self._embedding_inputs = self._body_bytes = 0
        self._errors: list[BatchError] = []
        self._errors_total = 0
        self._marks, self._repeats = Marks(), repeats
        self._first_lines: dict[str, int] = {}
        self._twins = 0
        self._skim: Skim | None = None

    def feed(self, chunk: bytes) -> None:
        """Take the next bytes of the file."""
        if self._skim is None:
            chunk = self._examine(chunk)
        if self._skim is not None:
            self._skim.feed(chunk)

    def _examine(self, chunk: bytes) -> bytes:
        """Examine the lines that end here, and keep or return what is left."""
        end = chunk.rfind(b"\n") + 1
        start = 0
        if end and self._tail_bytes:
            start = chunk.find(b"\n") + 1
            self._end_line(chunk[:start])
        if start < end:
            self._take(chunk, start, end)
        if end == len(chunk) or self._skim is not None:
            return chunk[end:]
        self._hold(chunk[end:])
        return b""

    def finish(self) -> Digest:
        """End the file and tell what was learned."""
        if self._tail_bytes:
            self._end_line(b"")
        if self._skim is None:
            self._close_shard(last=True)
        else:
            self._shards.clear()
            self._bytes += self._skim.bytes
            self._line += self._skim.lines
            self._lines += self._skim.requests
        if self._repeats is not None and len(self._first_lines) == _FIRST_LINES_MAX:
            self._errors_total += max(0, self._repeats.spare - self._twins)
        urls, models = Counter[str](), Counter[str]()
        for kind in self._kinds.values():
            urls[kind.url] += kind.lines
            models[kind.model] += kind.lines
        return Digest(
            bytes=self._bytes,
            lines=self._lines,
            shards=tuple(self._shards),
            urls=dict(urls),
            models=dict(models),
            embedding_inputs=self._embedding_inputs,
            input_tokens=self._body_bytes // 4,
            errors=tuple(self._errors),
            errors_total=self._errors_total,
            suspects=self._repeats is None and self._marks.repeat(),
            blank_lines=self._line - self._lines,
            stopped=self._skim is not None,
        )

    @property
    def asked(self) -> Collection[tuple[str, str]]:
        """The urls and models ("" where none is named) of the lines so far, each pair once."""
        return self._kinds.keys()

    def repeats(self) -> Repeats:
        """What another scan needs to tell which lines share a custom_id."""
        return self._marks.repeats()

    def _hold(self, rest: bytes) -> None:
        """Keep the beginning of a line; of one that is too long only its size."""
        self._tail_bytes += len(rest)
        if self._tail_bytes <= self._limits.line_bytes_max:
            self._tail.append(rest)
        else:
            self._tail = []

    def _end_line(self, rest: bytes) -> None:
        """Take the line whose beginning was kept, now that its end is known."""
        kept, size_bytes = self._tail, self._tail_bytes + len(rest)
        self._tail, self._tail_bytes = [], 0
        if kept:
            self._take(b"".join((*kept, rest)), 0, size_bytes)
        else:
            self._too_long(size_bytes)

    def _too_long(self, size_bytes: int) -> None:
        self._line += 1
        self._lines += 1
        self._bytes += size_bytes
        message = f"This line is longer than {self._limits.line_bytes_max:,} bytes."
        self._refuse(BatchError("invalid_json_line", message, line=self._line))
        self._close_full_shard()

    def _take(self, block: bytes, start: int, end: int) -> None:
        """Take whole lines; the line feed of the last may be missing at the end of the file."""
        longest = self._limits.line_bytes_max
        if self._line == 0 and block.startswith(BOM) and _first_bytes(block) <= longest:
            start += len(BOM)
            self._bytes += len(BOM)
            # Nothing behind it is a line all the same.
            self._line += start == end
        lines = BytesIO(block)
        lines.seek(start)
        short = end - start <= longest
        sound = short and (block.isascii() or _is_utf8(block[start:end]))
        while lines.tell() < end:
            if self._skim is not None:
                self._skim.feed(block[lines.tell() : end])
                return
            if sound:
                self._take_run(lines, end - lines.tell())
            else:
                self._take_alone(lines.readline())
            if short:
                self._skip_blank(block, lines)

    def _skip_blank(self, block: bytes, lines: BytesIO) -> None:
        """Take blank lines, of which a file may have millions, all at once."""
        start = lines.tell()
        if not block[start : start + 1].isspace():
            return
        found = re.compile(_BLANK_LINES).match(block, start)
        if found is not None:
            lines.seek(found.end())
            self._line += found[0].count(b"\n")
            self._bytes += len(found[0])
            self._close_full_shard()

    def _take_alone(self, line: bytes) -> None:
        """Take a line beside which there are others that may be too long, or not in UTF-8."""
        if len(line) <= self._limits.line_bytes_max and _is_utf8(line):
            self._take_run(BytesIO(line), len(line))
        else:
            self._take_odd(line)

    def _take_run(self, lines: BytesIO, most_bytes: int) -> None:
        """Take lines up to an odd one or the end of a shard, but not very many at once."""
        start = lines.tell()
        room_bytes = _SHARD_BYTES - (self._bytes - self._shard_start)
        found = lines.readlines(min(self._run_bytes, room_bytes, most_bytes))
        del found[self._limits.shard_lines - (self._lines - self._shard_first) :]
        run = self._glance.read(found)
        lines.seek(start + run.size_bytes + len(run.odd))
        self._run_bytes = 1 if run.odd else min(self._run_bytes * _RUN_GROWTH, _RUN_BYTES)
        if run.custom_ids:
            self._note(run.custom_ids)
            self._line += len(run.custom_ids)
            self._lines += len(run.custom_ids)
            self._bytes += run.size_bytes
            self._body_bytes += run.bodies_bytes
            self._embedding_inputs += run.inputs
            self._close_full_shard()
        if run.odd:
            self._take_odd(run.odd)

    def _take_odd(self, line: bytes) -> None:
        """Take a line that may be blank, unsound or merely unusual."""
        text = line.removesuffix(b"\n")
        if len(text) > self._limits.line_bytes_max:
            self._too_long(len(line))
            return
        if text and not text.isspace():
            self._look(text)
            self._lines += 1
        self._line += 1
        self._bytes += len(line)
        self._close_full_shard()

    def _look(self, line: bytes) -> None:
        """Examine the next line exactly, and accept it or tell what is wrong with it."""
        found = examine(line, self._line + 1, self._limits, self._endpoint)
        if isinstance(found, BatchError):
            self._refuse(found)
            return
        kind = self._kind(found.url, found.model)
        if isinstance(kind, BatchError):
            self._refuse(kind)
            return
        kind.lines += 1
        self._note([found.custom_id])
        self._body_bytes += found.body_bytes
        self._embedding_inputs += found.inputs

    def _note(self, custom_ids: list[str]) -> None:
        """Remember the custom_ids of the next lines, or find those that were there before."""
        if self._repeats is None:
            self._marks.add(custom_ids)
            return
        for number, custom_id in enumerate(custom_ids, self._line + 1):
            if custom_id in self._repeats:
                self._seek_twin(custom_id, number)

    def _seek_twin(self, custom_id: str, number: int) -> None:
        first = self._first_lines.get(custom_id)
        if first is not None:
            self._twins += 1
            message = (
                f"The custom_id '{custom_id}' is that of line {first} too; it must be unique "
                "within a batch."
            )
            self._refuse(BatchError("duplicate_custom_id", message, "custom_id", number))
        elif len(self._first_lines) < _FIRST_LINES_MAX:
            self._first_lines[custom_id] = number

    def _kind(self, url: str, model: str) -> Kind | BatchError:
        """The kind of the next line, which is sound, or why it does not fit the batch."""
        number = self._line + 1
        known = self._kinds.get((url, model))
        if known is not None:
            return known
        if model and not self._known(model):
            return BatchError("model_not_found", self._unserved(model), "body.model", number)
        most = self._limits.models_max if self._limits.mixed_models else 1
        if model not in self._models and len(self._models) >= most:
            message = f"The model '{model}' does not match " + (
                f"'{next(iter(self._models))}', the model of the requests before it. A batch has "
                "one model."
                if most == 1
                else f"any of the {most:,} models before it, and a batch may have no more models."
            )
            return BatchError("mismatched_model", message, "body.model", number)
        self._models.add(model)
        kind = self._kinds[url, model] = Kind(url, model)
        self._glance.welcome(kind)
        return kind

    def _refuse(self, error: BatchError) -> None:
        self._errors_total += 1
        if len(self._errors) < self._limits.errors_max:
            self._errors.append(error)
        elif self._errors_total >= self._limits.wrong_lines_max:
            self._stop()

    def _stop(self) -> None:
        """Examine no further line: the verdict is sure."""
        if self._skim is None:
            self._skim = Skim()

    def _close_full_shard(self) -> None:
        if (
            self._lines - self._shard_first >= self._limits.shard_lines
            or self._bytes - self._shard_start >= _SHARD_BYTES
        ):
            self._close_shard()

    def _close_shard(self, *, last: bool = False) -> None:
        lines = self._lines - self._shard_first
        size_bytes = self._bytes - self._shard_start
        if lines:
            self._shards.append(ShardSpan(self._shard_start, size_bytes, self._shard_first, lines))
        elif last and self._shards and self._shards[-1].end == self._shard_start:
            # Blank lines at the end of the file belong to the last shard.
            before = self._shards.pop()
            self._shards.append(replace(before, bytes=before.bytes + size_bytes))
        self._shard_start, self._shard_first = self._bytes, self._lines
        if self._lines > self._limits.requests_max or self._bytes > self._limits.input_bytes_max:
            self._stop()


def _is_utf8(text: bytes) -> bool:
    if text.isascii():
        return True
    try:
        text.decode()
    except UnicodeDecodeError:
        return False
    return True


def _first_bytes(block: bytes) -> int:
    """The length of the first line."""
    end = block.find(b"\n")
    return end if end >= 0 else len(block)
