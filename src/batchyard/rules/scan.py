"""One pass over a file of requests, whose bytes may be cut anywhere.

A glance is enough for most lines (`rules/glance`). Any other line goes to `rules/lines`, which is
exact and says what is wrong.
"""

from array import array
from collections import Counter
from collections.abc import Callable
from io import BytesIO

from msgspec import Struct
from msgspec.structs import replace

from batchyard.rules.endpoints import covers
from batchyard.rules.glance import Glance
from batchyard.rules.limits import Limits
from batchyard.rules.lines import Sound, examine
from batchyard.wire.objects import BatchError

__all__ = ["Digest", "Scan", "ShardSpan"]

_BOM = b"\xef\xbb\xbf"
_SHARD_BYTES = 2 << 20
_PARTITIONS = 64


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


class _Kind(Struct):
    """Lines of one url and one model, which fit the batch."""

    url: str
    model: str
    lines: int = 0


class Scan:
    """Fed with chunks of a file, tells at the end what it has seen.

    Holds one unfinished line at most, and eight bytes for each line. With `suspects`, the hashes
    that an earlier scan found twice, it tells which lines share a custom_id.
    """

    def __init__(
        self,
        limits: Limits,
        *,
        endpoint: str | None = None,
        known_model: Callable[[str], bool] | None = None,
        suspects: frozenset[int] = frozenset(),
    ) -> None:
        self._limits, self._endpoint = limits, endpoint
        self._known = known_model or (lambda _model: True)
        self._glance = Glance(limits).read
        self._tail: list[bytes] = []
        self._tail_bytes = 0
        self._bytes = self._line = self._lines = 0
        self._shards: list[ShardSpan] = []
        self._shard_start = self._shard_first = 0
        self._kinds: dict[tuple[str, str], _Kind] = {}
        self._models: set[str] = set()
        self._embedding_inputs = self._body_bytes = 0
        self._errors: list[BatchError] = []
        self._errors_total = 0
        self._hashes = tuple(array("q") for _ in range(_PARTITIONS))
        self._searched = suspects
        self._first_lines: dict[str, int] = {}

    def feed(self, chunk: bytes) -> None:
        """Take the next bytes of the file."""
        cut = chunk.rfind(b"\n") + 1
        if not cut:
            self._hold(chunk)
            return
        block = b"".join((*self._tail, chunk[:cut])) if self._tail else chunk[:cut]
        dropped = 0 if self._tail else self._tail_bytes
        self._tail, self._tail_bytes = [], 0
        if dropped:
            rest = block.find(b"\n") + 1
            self._too_long(dropped + rest)
            block = block[rest:]
        if block:
            self._take(block)
        if cut < len(chunk):
            self._hold(chunk[cut:])

    def finish(self) -> Digest:
        """End the file and tell what was learned."""
        if self._tail:
            self._take(b"".join(self._tail))
        elif self._tail_bytes:
            self._too_long(self._tail_bytes)
        self._tail, self._tail_bytes = [], 0
        self._close_shard(last=True)
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
            suspects=not self._searched and any(len(set(p)) < len(p) for p in self._hashes),
        )

    def suspects(self) -> frozenset[int]:
        """The hashes of custom_ids that were seen more than once."""
        found: set[int] = set()
        for part in self._hashes:
            if len(set(part)) < len(part):
                found.update(one for one, times in Counter(part).items() if times > 1)
        return frozenset(found)

    def _hold(self, rest: bytes) -> None:
        """Keep the beginning of a line; of one that is too long only its size."""
        self._tail_bytes += len(rest)
        if self._tail_bytes <= self._limits.line_bytes_max:
            self._tail.append(rest)
        else:
            self._tail = []

    def _too_long(self, size_bytes: int) -> None:
        self._line += 1
        self._lines += 1
        self._bytes += size_bytes
        message = f"This line is longer than {self._limits.line_bytes_max:,} bytes."
        self._refuse(BatchError("invalid_json_line", message, line=self._line))

    def _take(self, block: bytes) -> None:
        """Take whole lines; the line feed of the last may be missing at the end of the file."""
        clean = _is_utf8(block)
        longest = self._limits.line_bytes_max
        if self._line == 0 and block.startswith(_BOM) and _length(block) <= longest:
            block = block[len(_BOM) :]
            self._bytes += len(_BOM)
        for line, found in self._glance(BytesIO(block)):
            if len(line) > longest and len(line.removesuffix(b"\n")) > longest:
                self._too_long(len(line))
                continue
            self._line += 1
            self._bytes += len(line)
            if found is not None and (clean or _is_utf8(line)):
                self._lines += 1
                self._accept(found)
            elif not line.isspace():
                self._lines += 1
                self._look(line.removesuffix(b"\n"))
            if (
                self._lines - self._shard_first >= self._limits.shard_lines
                or self._bytes - self._shard_start >= _SHARD_BYTES
            ):
                self._close_shard()

    def _look(self, line: bytes) -> None:
        """Examine a line exactly, and accept it or tell what is wrong with it."""
        found = examine(line, self._line, self._limits)
        if isinstance(found, BatchError):
            self._refuse(found)
        else:
            self._accept(found)

    def _accept(self, line: Sound) -> None:
        kind = self._kinds.get((line.url, line.model)) or self._kind(line.url, line.model)
        if isinstance(kind, BatchError):
            self._refuse(kind)
            return
        mark = hash(line.custom_id)
        if self._searched and mark in self._searched and self._has_twin(line.custom_id):
            return
        kind.lines += 1
        self._body_bytes += line.body_bytes
        self._embedding_inputs += line.inputs
        self._hashes[mark & (_PARTITIONS - 1)].append(mark)

    def _has_twin(self, custom_id: str) -> bool:
        first = self._first_lines.setdefault(custom_id, self._line)
        if first == self._line:
            return False
        self._refuse(
            BatchError(
                code="duplicate_custom_id",
                message=f"The custom_id '{custom_id}' is that of line {first} too; it must be "
                "unique within a batch.",
                param="custom_id",
                line=self._line,
            )
        )
        return True

    def _kind(self, url: str, model: str) -> _Kind | BatchError:
        """A new kind for a sound line, or what is wrong with it in this very batch."""
        if self._endpoint is not None and not covers(self._endpoint, url):
            message = (
                f"The URL '{url}' of this request does not match the endpoint "
                f"'{self._endpoint}' of the batch."
            )
            return BatchError("invalid_url", message, "url", self._line)
        if model and not self._known(model):
            message = f"The provided model '{model}' is not supported by the Batch API."
            return BatchError("model_not_found", message, "body.model", self._line)
        most = self._limits.models_max if self._limits.mixed_models else 1
        if model not in self._models and len(self._models) >= most:
            message = f"The model '{model}' does not match " + (
                f"'{next(iter(self._models))}', the model of the requests before it. A batch has "
                "one model."
                if most == 1
                else f"any of the {most:,} models before it, and a batch may have no more models."
            )
            return BatchError("mismatched_model", message, "body.model", self._line)
        self._models.add(model)
        kind = self._kinds[url, model] = _Kind(url, model)
        return kind

    def _refuse(self, error: BatchError) -> None:
        self._errors_total += 1
        if len(self._errors) < self._limits.errors_max:
            self._errors.append(error)

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


def _is_utf8(text: bytes) -> bool:
    if text.isascii():
        return True
    try:
        text.decode()
    except UnicodeDecodeError:
        return False
    return True


def _length(block: bytes) -> int:
    """The length of the first line."""
    end = block.find(b"\n")
    return end if end >= 0 else len(block)
