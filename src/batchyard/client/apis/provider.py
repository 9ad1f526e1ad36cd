"""The few calls of a Batch API that a campaign makes, and a forgiving reading of its answers."""

import re
import ssl
import time
from collections.abc import AsyncIterator, Callable, Mapping, Sequence
from pathlib import Path
from typing import Any, Generic, TypeVar
from urllib.parse import quote

import msgspec
from msgspec import Struct

from batchyard.client.apis.content import Content, content_of
from batchyard.client.apis.form import Form, Moved, unheard
from batchyard.places.request_head import usable_key
from batchyard.places.transfer import Arriving, BrokenError, Exchange, Transfer
from batchyard.places.transport import Answer, Fault, Transport, head_for
from batchyard.rules.retry import asked_pause_seconds

__all__ = [
    "ENDED",
    "BatchState",
    "Provider",
    "ProviderError",
    "Streamed",
    "Trouble",
    "read_batch",
    "status_of",
]

ENDED = frozenset({"completed", "failed", "expired", "cancelled"})
_STATUSES = {"canceled": "cancelled", "canceling": "cancelling", "processing": "in_progress"}
# Of an answer that is no file; the largest are pages of a list.
_ANSWER_BYTES_MAX = 1 << 26
_PAGE = 100
_BILLS = frozenset({"insufficient_quota", "billing_hard_limit_reached"})
_LIMIT = re.compile(r"Limit: ([0-9][0-9,]*) enqueued")
_TRANSIENT = frozenset({408, 409, 425, 429})
T = TypeVar("T")


class Trouble(Struct, frozen=True):
    """What a Batch API says is wrong: with a call, with a batch, or with a line of its file."""

    code: str
    message: str
    line: int | None = None

    @property
    def is_quota(self) -> bool:
        """Whether too many tokens are enqueued, so that the same may work later."""
        return self.code == "token_limit_exceeded" or "enqueued token" in self.message.lower()

    @property
    def is_bill(self) -> bool:
        """Whether nothing will be done until somebody has paid."""
        return self.code in _BILLS

    @property
    def limit(self) -> int | None:
        """The most tokens that may be enqueued, where the message says so."""
        found = _LIMIT.search(self.message)
        return int(found[1].replace(",", "")) if found else None


class ProviderError(Exception):
    """A call that brought no good answer.

    `status` is 0 where there was no answer; `sent` says whether the call may have worked all the
    same; `transient`, whether it may work later; `pause_seconds`, after how long the server asks
    to be called again, if it does; `got_on`, whether the next try has less to do than this one.
    """

    def __init__(
        self, status: int, trouble: Trouble, *, sent: bool, pause_seconds: float | None = None
    ) -> None:
        super().__init__(f"{trouble.code}: {trouble.message}" if trouble.code else trouble.message)
        self.status, self.trouble, self.sent = status, trouble, sent
        self.pause_seconds = pause_seconds
        self.got_on = False

    @property
    def transient(self) -> bool:
        """Whether the same call may work later."""
        if self.trouble.is_quota or self.trouble.is_bill:
            return False
        return self.status == 0 or self.status >= 500 or self.status in _TRANSIENT


class BatchState(Struct, frozen=True, kw_only=True):
    """A batch as any Batch API shows it, in OpenAI's spelling; files that are not there are None.

    `total`, `completed` and `failed` are what it counts itself; `created_at` and `ended_at` are
    0 where it does not tell.
    """

    id: str
    status: str
    input_file_id: str | None = None
    output_file_id: str | None = None
    error_file_id: str | None = None
    created_at: int = 0
    ended_at: int = 0
    total: int = 0
    completed: int = 0
    failed: int = 0
    metadata: Mapping[str, str] = {}
    errors: tuple[Trouble, ...] = ()

    @property
    def has_ended(self) -> bool:
        """Whether it will not change any more."""
        return self.status in ENDED


class Provider:
    """One Batch API, reached with a key that stands nowhere but in memory."""

    def __init__(
        self,
        base_url: str,
        key: str | None,
        *,
        purpose: str = "batch",
        ssl_context: ssl.SSLContext | None = None,
        timeout_seconds: float = 600.0,
    ) -> None:
        self.base_url, self._purpose, self._ssl_context = base_url, purpose, ssl_context
        self._timeout_seconds = timeout_seconds
        self._transport = Transport(base_url, ssl_context=ssl_context)
        self._transfer = Transfer(
            base_url, ssl_context=ssl_context, silence_seconds=timeout_seconds
        )
        self._auth: dict[str, str] = {}
        key = usable_key(key or "", "its caller")
        if key:
            self._auth = {"authorization": f"Bearer {key}"}
            if "azure.com" in base_url:
                self._auth = {"api-key": key}

    async def aclose(self) -> None:
        """Hang up."""
        await self._transport.aclose()

    async def upload(self, path: Path, key: str, name: str = "", moved: Moved = unheard) -> str:
        """Upload a batch file and return its id."""
        return (await self.uploaded(path, key, name, moved))[0]

    async def uploaded(
        self, path: Path, key: str, name: str = "", moved: Moved = unheard
    ) -> tuple[str, str]:
        """The same, with the status of the file in small letters; `moved` hears of each piece.

        It is read while it is sent, and never held.
        """
        form = Form(path, name or path.name, self._purpose, f"batchyard{key.replace('-', '')}")
        told = self._auth | {"idempotency-key": key}
        head = head_for(self.base_url, "POST", "/files", told, form.content_type)
        call = self._transfer.call(head + b"%d\r\n\r\n" % form.size, form.parts(moved))
        async with Streamed(call, lambda answer: answer) as answer:
            found = _object(await answer.read(_ANSWER_BYTES_MAX))
        return str(found["id"]), str(found.get("status")).lower()

    async def file_status(self, file_id: str) -> str:
        """The status of a file, in small letters."""
        found = _object(await self._call("GET", f"/files/{file_id}"))
        return str(found.get("status")).lower()

    async def create(
        self, file_id: str, endpoint: str, window: str, metadata: Mapping[str, str], key: str
    ) -> BatchState:
        """Create a batch; on servers that know the key, the same batch however often.

        It is sent once: on a connection of its own, which no transport takes for a stale one.
        """
        asked = {
            "input_file_id": file_id,
            "endpoint": endpoint,
            "completion_window": window,
            "metadata": dict(metadata),
        }
        body = msgspec.json.encode(asked)
        fresh = Transport(self.base_url, ssl_context=self._ssl_context)
        try:
            return read_batch(await self._call("POST", "/batches", body, key, transport=fresh))
        finally:
            await fresh.aclose()

    async def retrieve(self, batch_id: str) -> BatchState:
        """A batch as it is now."""
        return read_batch(await self._call("GET", f"/batches/{batch_id}"))

    async def cancel(self, batch_id: str) -> BatchState:
        """Ask for a batch to be cancelled."""
        return read_batch(await self._call("POST", f"/batches/{batch_id}/cancel"))

    async def batches(self) -> AsyncIterator[BatchState]:
        """All batches, the newest first."""
        after: str | None = None
        while True:
            path = f"/batches?limit={_PAGE}" + (f"&after={after}" if after else "")
            body = _parsed(await self._call("GET", path))
            found = body.get("data") if isinstance(body, dict) else body
            page = [one for one in found if isinstance(one, dict)] if found else []
            for one in page:
                yield _batch_of(one)
            last = str(page[-1].get("id")) if page else None
            if not (isinstance(body, dict) and body.get("has_more")) or last in (None, after):
                return
            after = last

    def content(self, file_id: str, start: int = 0) -> "Streamed[Content]":
        """The content of a file, from `start` on where the server can do that."""
        asked = {"range": f"bytes={start}-"} if start else {}
        head = self._get(f"/files/{quote(file_id, safe='')}/content", asked)
        return Streamed(self._transfer.call(head), content_of)

    async def file_bytes(self, file_id: str) -> int | None:
        """How large the server says a file is; None where it does not say."""
        try:
            found = _parsed(await self._call("GET", f"/files/{quote(file_id, safe='')}"))
        except ProviderError as error:
            if error.transient:
                raise
            return None
        told = found.get("bytes") if isinstance(found, dict) else None
        return told if isinstance(told, int) and told > 0 else None

    def streamed(self, path: str) -> "Streamed[Arriving]":
        """A good answer to a GET whose body may be too large to hold."""
        return Streamed(self._transfer.call(self._get(path, {})), lambda answer: answer)

    async def exchange(
        self,
        verb: str,
        path: str,
        body: bytes = b"",
        key: str | None = None,
        content_type: str = "application/json",
        *,
        headers: Mapping[str, str] | None = None,
        transport: Transport | None = None,
    ) -> Answer:
        """Make one call and return a good answer; `key` is its Idempotency-Key.

        Raises ProviderError for any other.
        """
        told = self._auth | ({"idempotency-key": key} if key else {}) | dict(headers or {})
        head = head_for(self.base_url, verb, path, told, content_type)
        outcome = await (transport or self._transport).fetch(
            head + b"%d\r\n\r\n" % len(body),
            body,
            timeout_seconds=self._timeout_seconds,
            body_bytes_max=_ANSWER_BYTES_MAX,
        )
        if isinstance(outcome, Fault):
            raise _fault(outcome)
        if not 200 <= outcome.status < 300:
            raise _refusal(outcome.status, outcome.headers, outcome.body)
        return outcome

    def _get(self, path: str, headers: Mapping[str, str]) -> bytes:
        return head_for(self.base_url, "GET", path, self._auth | dict(headers)) + b"0\r\n\r\n"

    async def _call(self, *asked: Any, transport: Transport | None = None) -> bytes:
        return (await self.exchange(*asked, transport=transport)).body


class Streamed(Generic[T]):
    """A good answer that is still to come, while it is entered; ProviderError for any other.

    Also where it breaks off while it is read. No generator: whoever reads it within one may be
    ended anywhere.
    """

    def __init__(self, call: Exchange, read: Callable[[Arriving], T]) -> None:
        self._call, self._read = call, read

    async def __aenter__(self) -> T:
        try:
            answer = await self._call.__aenter__()
        except BrokenError as error:
            raise _fault(error.fault) from error
        if 200 <= answer.status < 300:
            return self._read(answer)
        try:
            body = await answer.read(_ANSWER_BYTES_MAX)
        except BrokenError as error:
            raise _fault(error.fault) from error
        finally:
            await self._call.__aexit__()
        raise _refusal(answer.status, answer.headers, body)

    async def __aexit__(self, _kind: object, error: BaseException | None, _trace: object) -> None:
        await self._call.__aexit__()
        if isinstance(error, BrokenError):
            raise _fault(error.fault) from error


def read_batch(body: bytes) -> BatchState:
    """Read a batch as OpenAI and its clones write them."""
    return _batch_of(_object(body))


def status_of(told: object) -> str:
    """A batch's status in OpenAI's spelling."""
    status = str(told or "").lower()
    return _STATUSES.get(status, status)


def _fault(fault: Fault) -> ProviderError:
    return ProviderError(0, Trouble(fault.code, fault.detail), sent=fault.sent)


def _refusal(status: int, headers: Sequence[tuple[bytes, bytes]], body: bytes) -> ProviderError:
    trouble = _trouble_of(_parsed_or_text(body), status)
    pause = asked_pause_seconds(status, headers, time.time())
    return ProviderError(status, trouble, sent=True, pause_seconds=pause)


def _object(body: bytes) -> dict[str, Any]:
    found = _parsed(body)
    inner = found.get("job") if isinstance(found, dict) else None
    if isinstance(inner, dict):
        found = inner
    if not isinstance(found, dict) or not found.get("id"):
        trouble = Trouble("invalid_response", "The answer is not an object with an id.")
        raise ProviderError(0, trouble, sent=True)
    return found


def _batch_of(found: dict[str, Any]) -> BatchState:
    counts = found.get("request_counts")
    counts = counts if isinstance(counts, dict) else {}
    metadata = found.get("metadata")
    return BatchState(
        id=str(found.get("id")),
        status=status_of(found.get("status")),
        input_file_id=found.get("input_file_id") or None,
        output_file_id=found.get("output_file_id") or None,
        error_file_id=found.get("error_file_id") or None,
        created_at=_count(found.get("created_at")),
        ended_at=max(_count(found.get(f"{end}_at")) for end in ENDED),
        total=_count(counts.get("total")),
        completed=_count(counts.get("completed")),
        failed=_count(counts.get("failed")),
        metadata=metadata if isinstance(metadata, dict) else {},
        errors=_errors_of(found.get("errors")),
    )


def _errors_of(found: Any) -> tuple[Trouble, ...]:
    listed = found.get("data") if isinstance(found, dict) else found
    if isinstance(listed, str):
        return (Trouble("", listed),) if listed else ()
    return tuple(_trouble_of(one, 0) for one in listed or () if one)


def _trouble_of(found: Any, status: int) -> Trouble:
    """What is wrong, from the shapes in which servers say so."""
    if isinstance(found, dict):
        inner = found.get("error", found.get("detail", found))
        if isinstance(inner, dict):
            found = inner
            code = found.get("code") or found.get("type") or status or ""
            line = found.get("line")
            message = str(found.get("message") or found.get("detail") or "")
            return Trouble(str(code), message, line if isinstance(line, int) else None)
        found = inner
    return Trouble(str(status or ""), str(found)[:2_000])


def _count(value: Any) -> int:
    return int(value) if isinstance(value, int | float) else 0


def _parsed(body: bytes) -> Any:
    try:
        return msgspec.json.decode(body)
    except msgspec.DecodeError:
        trouble = Trouble("invalid_response", "The answer is not JSON.")
        raise ProviderError(0, trouble, sent=True) from None


def _parsed_or_text(body: bytes) -> Any:
    try:
        return msgspec.json.decode(body)
    except msgspec.DecodeError:
        return body[:2_000].decode(errors="replace")
