"""Whether a file of requests may become a batch, learned while its bytes flow by.

A `Scan` sees each line once and cheaply: what its typed decoder accepts, and what no quick test
finds odd, is fine. Any other line goes to `rules/lines`, which is exact and says what is wrong.
"""

from array import array
from collections.abc import Callable, Iterable

import msgspec
from msgspec import UNSET, Raw, Struct, UnsetType

from batchyard.rules.endpoints import ENDPOINTS
from batchyard.rules.limits import Limits
from batchyard.rules.lines import examine
from batchyard.wire.objects import BatchError

__all__ = ["Digest", "Scan", "ShardSpan", "explain", "fits"]

_BOM = b"\xef\xbb\xbf"
_SHARD_BYTES = 2 << 20
_PARTITIONS = 64
# An envelope in which each of the four keys stands once is at most so much longer than the
# shortest spelling of it; a key that stood twice would need a byte more.
_ENVELOPE_SLACK = 7


class ShardSpan(Struct, frozen=True, array_like=True):
    """A run of request lines; indexes count request lines from 0, blank lines do not count."""

    offset: int
    bytes: int
    first_index: int
    lines: int


class Digest(Struct, frozen=True, kw_only=True):
    """What one pass over a file has learned.

    `urls` and `models` count lines ("" stands for no model); `suspects` tells that two lines may
    share a custom_id, which only `explain` decides; `input_tokens` is an estimate (bytes / 4).
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


def fits(
    digest: Digest, *, endpoint: str | None, limits: Limits, known_model: Callable[[str], bool]
) -> bool:
    """Whether the digest alone proves that the file is fine for this endpoint."""
    return (
        not digest.errors_total
        and not digest.suspects
        and not file_errors(digest, limits)
        and (endpoint is None or set(digest.urls) == {endpoint})
        and (limits.mixed_models or len(digest.models) == 1)
        and all(known_model(model) for model in digest.models if model)
    )


def explain(
    chunks: Callable[[], Iterable[bytes]],
    *,
    endpoint: str | None,
    limits: Limits,
    known_model: Callable[[str], bool],
) -> tuple[BatchError, ...]:
    """All that is wrong with a file, in file order; nothing if it is fine.

    Reads the file once, and again where lines may share a custom_id. At most
    `limits.errors_max` errors are told; then the last one says how many more there are.
    """
    scan = Scan(limits, endpoint=endpoint, known_model=known_model)
    for chunk in chunks():
        scan.feed(chunk)
    digest = scan.finish()
    if digest.suspects:
        scan = Scan(limits, endpoint=endpoint, known_model=known_model, suspects=scan.suspects())
        for chunk in chunks():
            scan.feed(chunk)
        digest = scan.finish()
    errors = (*file_errors(digest, limits), *digest.errors)
    hidden = digest.errors_total - len(digest.errors)
    if hidden or len(errors) > limits.errors_max:
        hidden += len(errors) - (limits.errors_max - 1)
        errors = (
            *errors[: limits.errors_max - 1],
            BatchError(
                code="too_many_errors",
                message=f"{hidden:,} more lines have errors that are not listed here.",
            ),
        )
    return errors


def file_errors(digest: Digest, limits: Limits) -> tuple[BatchError, ...]:
    """What is wrong with the file as a whole."""
    errors = []
    if not digest.lines and not digest.errors_total:
        errors.append(
            BatchError(code="empty_file", message="The input file is empty: it has no request.")
        )
    for code, found, most, what in (
        ("maximum_requests_exceeded", digest.lines, limits.requests_max, "requests"),
        ("maximum_input_file_size_exceeded", digest.bytes, limits.input_bytes_max, "bytes"),
        (
            "maximum_embedding_inputs_exceeded",
            digest.embedding_inputs,
            limits.embedding_inputs_max,
            "embedding inputs",
        ),
    ):
        if found > most:
            errors.append(
                BatchError(
                    code=code,
                    message=f"The input file has {found:,} {what}; a batch may have at most "
                    f"{most:,}. Split it into several files.",
                )
            )
    return tuple(errors)


class _Row(Struct, gc=False):
    custom_id: str
    method: str
    url: str
    body: Raw


class _Body(Struct, gc=False):
    model: str | UnsetType = UNSET
    stream: bool = False
    messages: Raw | UnsetType = UNSET
    input: Raw | UnsetType = UNSET
    prompt: Raw | UnsetType = UNSET


class Scan:
    """One pass over a file that is fed in chunks cut anywhere.

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
        self._row = msgspec.json.Decoder(_Row).decode
        self._body = msgspec.json.Decoder(_Body).decode
        self._tail: list[bytes] = []
        self._tail_bytes = 0
        self._bytes = self._line = self._lines = 0
        self._shards: list[ShardSpan] = []
        self._shard_start = self._shard_first = 0
        self._urls: dict[str, int] = {}
        self._models: dict[str, int] = {}
        self._good_models: dict[str, bool] = {}
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
        skipped = self._tail_bytes - sum(map(len, self._tail))
        self._tail, self._tail_bytes = [], 0
        if skipped:
            # The line at the front of the block was too long to be held.
            first = block.find(b"\n") + 1
            self._too_long(skipped + first)
            block = block[first:]
        self._take(block)
        if cut < len(chunk):
            self._hold(chunk[cut:])

    def finish(self) -> Digest:
        """End the file and tell what was learned."""
        if self._tail_bytes:
            if self._tail_bytes > self._limits.line_bytes_max:
                self._too_long(self._tail_bytes)
            else:
                self._take(b"".join(self._tail))
            self._tail, self._tail_bytes = [], 0
        self._close_shard()
        return Digest(
            bytes=self._bytes,
            lines=self._lines,
            shards=tuple(self._shards),
            urls=self._urls,
            models=self._models,
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
            seen: set[int] = set()
            found.update(one for one in part if one in seen or seen.add(one))  # type: ignore[func-returns-value]
        return frozenset(found)

    def _hold(self, rest: bytes) -> None:
        self._tail_bytes += len(rest)
        if self._tail_bytes <= self._limits.line_bytes_max:
            self._tail.append(rest)
        else:
            self._tail = []

    def _too_long(self, size_bytes: int) -> None:
        self._line += 1
        self._lines += 1
        self._bytes += size_bytes
        self._refuse(
            BatchError(
                code="invalid_json_line",
                message=f"This line is longer than {self._limits.line_bytes_max:,} bytes.",
                line=self._line,
            )
        )

    def _take(self, block: bytes) -> None:
        odd = not block.isascii() and not _is_utf8(block)
        for line in block.split(b"\n")[: -1 if block.endswith(b"\n") else None]:
            self._line += 1
            if line and not line.isspace():
                if self._line == 1 and line.startswith(_BOM):
                    line = line[len(_BOM) :]
                    self._bytes += len(_BOM)
                if len(line) > self._limits.line_bytes_max:
                    self._line -= 1
                    self._too_long(len(line) + 1)
                    continue
                self._read(line, odd)
                self._lines += 1
            self._bytes += len(line) + 1
            if (
                self._lines - self._shard_first >= 500
                or self._bytes - self._shard_start >= _SHARD_BYTES
            ):
                self._close_shard()
        if not block.endswith(b"\n"):
            self._bytes -= 1

    def _read(self, line: bytes, odd: bool) -> None:
        if not odd:
            try:
                row = self._row(line)
                raw = bytes(row.body)
                body = self._body(raw)
            except (msgspec.DecodeError, RecursionError, UnicodeDecodeError):
                pass
            else:
                if self._is_plain(line, row, raw, body):
                    model = "" if body.model is UNSET else body.model
                    self._accept(row.custom_id, row.url, model, raw, body.input)
                    return
        examined = examine(line, self._line, self._limits)
        if isinstance(examined, BatchError):
            self._refuse(examined)
            return
        found = examined
        self._accept(found.custom_id, found.url, found.model, found.body, found.input)

    def _is_plain(self, line: bytes, row: _Row, raw: bytes, body: _Body) -> bool:
        """Whether nothing about a decoded line calls for the exact examination."""
        endpoint = ENDPOINTS.get(row.url)
        return (
            endpoint is not None
            and row.method == "POST"
            and not body.stream
            and all(getattr(body, name, UNSET) is not UNSET for name in endpoint.required)
            and 0 < len(row.custom_id) <= self._limits.custom_id_bytes_max // 4
            and row.custom_id.isprintable()
            and body.model != ""
            and raw[:1] == b"{"
            and len(line) - len(raw) - len(row.custom_id) - len(row.url)
            <= len('{"custom_id":"","method":"POST","url":"","body":}') + _ENVELOPE_SLACK
            and raw.find(b'"model"', raw.find(b'"model"') + 7) < 0
            and (b"\\" not in raw or b"\\u00" not in raw)
            and raw.count(b"[") + raw.count(b"{") <= self._limits.nesting_max
        )

    def _accept(
        self, custom_id: str, url: str, model: str, body: bytes, inputs: Raw | bytes | UnsetType
    ) -> None:
        error = self._misfit(url, model)
        if error is None and self._searched:
            error = self._twin(custom_id)
        if error is not None:
            self._refuse(error)
            return
        if url not in self._urls:
            self._urls[url] = 0
        self._urls[url] += 1
        self._models[model] = self._models.get(model, 0) + 1
        self._body_bytes += len(body)
        if url == "/v1/embeddings":
            self._embedding_inputs += _inputs(inputs)
        mark = hash(custom_id)
        self._hashes[mark & (_PARTITIONS - 1)].append(mark)

    def _misfit(self, url: str, model: str) -> BatchError | None:
        """What is wrong with a sound line in this very batch."""
        if self._endpoint is not None and url != self._endpoint:
            return BatchError(
                code="invalid_url",
                message=f"The URL '{url}' of this request does not match the endpoint "
                f"'{self._endpoint}' of the batch.",
                param="url",
                line=self._line,
            )
        good = self._good_models.get(model)
        if good is None:
            good = self._good_models[model] = not model or self._known(model)
        if not good:
            return BatchError(
                code="model_not_found",
                message=f"The provided model '{model}' is not supported by the Batch API.",
                param="body.model",
                line=self._line,
            )
        if not self._limits.mixed_models and self._models and model not in self._models:
            return BatchError(
                code="mismatched_model",
                message=f"The model '{model}' does not match '{next(iter(self._models))}', the "
                "model of the requests before it. A batch has one model.",
                param="body.model",
                line=self._line,
            )
        return None

    def _twin(self, custom_id: str) -> BatchError | None:
        if hash(custom_id) not in self._searched:
            return None
        first = self._first_lines.setdefault(custom_id, self._line)
        if first == self._line:
            return None
        return BatchError(
            code="duplicate_custom_id",
            message=f"The custom_id '{custom_id}' is that of line {first} too; it must be unique "
            "within a batch.",
            param="custom_id",
            line=self._line,
        )

    def _refuse(self, error: BatchError) -> None:
        self._errors_total += 1
        if len(self._errors) < self._limits.errors_max:
            self._errors.append(error)

    def _close_shard(self) -> None:
        lines = self._lines - self._shard_first
        if lines:
            span = ShardSpan(
                self._shard_start, self._bytes - self._shard_start, self._shard_first, lines
            )
            self._shards.append(span)
        self._shard_start, self._shard_first = self._bytes, self._lines


def _is_utf8(block: bytes) -> bool:
    try:
        block.decode()
    except UnicodeDecodeError:
        return False
    return True


def _inputs(inputs: Raw | bytes | UnsetType) -> int:
    """How many texts an embedding request has; an array of numbers is one tokenized text."""
    if isinstance(inputs, UnsetType) or not bytes(inputs).lstrip().startswith(b"["):
        return 1
    texts = msgspec.json.decode(inputs, type=list[Raw])
    first = bytes(texts[0])[:1] if texts else b""
    return len(texts) if first in (b'"', b"[") else 1
