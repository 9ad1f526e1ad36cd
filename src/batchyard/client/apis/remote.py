"""What the verbs ask of a Batch API beyond a campaign's calls: files, models, pages, results."""

from collections.abc import AsyncIterator, Mapping
from typing import Any
from urllib.parse import quote

import msgspec

from batchyard.client.apis.persisting import FAULTS_MAX, pause
from batchyard.client.apis.profiles import Destination
from batchyard.client.apis.provider import Provider, ProviderError, Trouble, status_of
from batchyard.places.connection import Answer
from batchyard.wire.models import ModelList, read_model_list

__all__ = ["UNKNOWN_ROUTE", "Remote", "batch_of", "models_at", "models_of", "said_by"]

_PAGE = 100
_BOM = b"\xef\xbb\xbf"
_RESULTS_PAGE = 10_000
_MODELS_SECONDS = 10.0
# How a server says that it has no such call.
UNKNOWN_ROUTE = (404, 405)


class Remote(Provider):
    """A Batch API as the verbs see it; objects are as the server wrote them."""

    def __init__(
        self,
        destination: Destination,
        *,
        purpose: str = "batch",
        timeout_seconds: float = 600.0,
    ) -> None:
        super().__init__(
            destination.base_url,
            destination.key,
            purpose=purpose,
            timeout_seconds=timeout_seconds,
        )
        self.destination = destination

    async def batch(self, id: str) -> dict[str, Any]:
        """A batch, with what is only this server's."""
        return batch_of(_object(await self.exchange("GET", f"/batches/{_safe(id)}")))

    async def newest_batches(self, most: int) -> AsyncIterator[dict[str, Any]]:
        """The newest batches, newest first."""
        async for one in self._listed("/batches", most):
            yield batch_of(one)

    async def newest_files(self, most: int, purpose: str | None) -> AsyncIterator[dict[str, Any]]:
        """The newest files, newest first."""
        query = {"purpose": purpose} if purpose else {}
        async for one in self._listed("/files", most, query):
            yield one

    async def file(self, id: str) -> dict[str, Any]:
        """What a file is called and how large it is."""
        return _object(await self.exchange("GET", f"/files/{_safe(id)}"))

    async def delete_file(self, id: str) -> None:
        """Delete a file."""
        await self.exchange("DELETE", f"/files/{_safe(id)}")

    async def models(self) -> list[str]:
        """The models it serves."""
        return models_of(await self.exchange("GET", "/models"))

    async def retry(self, id: str, asked: Mapping[str, Any], key: str) -> dict[str, Any] | None:
        """Ask a server of ours to retry a batch; None where the server knows no such call."""
        try:
            body = msgspec.json.encode(asked)
            found = await self.exchange("POST", f"/batches/{_safe(id)}/retry", body, key)
        except ProviderError as error:
            if error.status in UNKNOWN_ROUTE:
                return None
            raise
        return batch_of(_object(found))

    async def pieces(self, file_id: str) -> AsyncIterator[bytes]:
        """The bytes of a file; where they break off, they go on where the server has ranges."""
        start, faults, version = 0, 0, ""
        while True:
            before = start
            try:
                async with self.content(file_id, start) as content:
                    if start and content.version != version:
                        raise _another(file_id)
                    version, passed = content.version, content.start or 0
                    async for piece in content.pieces():
                        # A server without ranges sends all of it again.
                        fresh = piece[max(0, start - passed) :]
                        passed += len(piece)
                        if fresh:
                            start += len(fresh)
                            yield fresh
                    if content.total is None or start >= content.total:
                        return
                    if start == before:
                        raise _another(file_id)
            except ProviderError as error:
                faults = 0 if start > before else faults + 1
                if not (error.transient and start and version) or faults >= FAULTS_MAX:
                    raise
                await pause(error, faults)

    async def lines(self, file_id: str) -> AsyncIterator[bytes]:
        """The lines of a file that are not blank, each with its line feed."""
        async for line in _lines_of(self.pieces(file_id)):
            yield line

    async def lines_so_far(self, id: str) -> AsyncIterator[bytes]:
        """The results of a batch that still runs; ProviderError 404 where only ours has them."""
        after = ""
        while True:
            path = f"/batches/{_safe(id)}/results?limit={_RESULTS_PAGE}{after}"
            came = False
            async with self.streamed(path) as answer:
                async for line in _lines_of(answer.pieces()):
                    came = True
                    yield line
                cursor = answer.said(b"x-next-after").decode("latin-1")
            if not came or not cursor:
                return
            after = f"&after={quote(cursor, safe='')}"

    async def _listed(
        self, path: str, most: int, query: Mapping[str, str] | None = None
    ) -> AsyncIterator[dict[str, Any]]:
        after = ""
        while most > 0:
            asked = {"limit": str(min(_PAGE, most)), **(query or {})} | (
                {"after": after} if after else {}
            )
            told = "&".join(f"{name}={quote(text, safe='')}" for name, text in asked.items())
            body = _parsed(await self.exchange("GET", f"{path}?{told}"))
            found = body.get("data") if isinstance(body, dict) else body
            page = [one for one in found or () if isinstance(one, dict)]
            for one in page[:most]:
                yield one
            most -= len(page)
            last = str(page[-1].get("id")) if page else ""
            if not (isinstance(body, dict) and body.get("has_more")) or last in ("", after):
                return
            after = last


async def models_at(destination: Destination) -> ModelList:
    """What a server says that it serves; ProviderError where it does not say."""
    remote = Remote(destination, timeout_seconds=_MODELS_SECONDS)
    try:
        answer = await remote.exchange("GET", "/models")
    finally:
        await remote.aclose()
    listed = read_model_list(answer.body, "")
    if listed is None:
        trouble = Trouble(code="invalid_answer", message="it answers with no list of models")
        raise ProviderError(answer.status, trouble, sent=True)
    return listed


def models_of(answer: Answer) -> list[str]:
    """The ids in a list of models."""
    found = _parsed(answer)
    listed = found.get("data") if isinstance(found, dict) else found
    return [str(one.get("id")) for one in listed or () if isinstance(one, dict)]


def batch_of(found: dict[str, Any]) -> dict[str, Any]:
    """A batch with OpenAI's status and counts, whatever it is elsewhere."""
    inner = found.get("job")
    found = inner if isinstance(inner, dict) else found
    counts = found.get("request_counts")
    counts = counts if isinstance(counts, dict) else {}
    told = {name: int(counts.get(name) or 0) for name in ("total", "completed", "failed")}
    return found | {"status": status_of(found.get("status")), "request_counts": told}


def said_by(answer: Answer, name: bytes) -> bytes:
    """A header of an answer; empty where it has none."""
    return next((value for one, value in answer.headers if one == name), b"")


async def _lines_of(pieces: AsyncIterator[bytes]) -> AsyncIterator[bytes]:
    """The lines that are not blank, each with its line feed."""
    held, mark = [], _BOM
    async for piece in pieces:
        if b"\n" not in piece:
            held.append(piece)
            continue
        lines = b"".join((*held, piece)).split(b"\n")
        held = [lines.pop()]
        lines[0], mark = lines[0].removeprefix(mark), b""
        for line in lines:
            if line and not line.isspace():
                yield line + b"\n"
    last = b"".join(held).removeprefix(mark)
    if last and not last.isspace():
        yield last + b"\n"


def _another(file_id: str) -> ProviderError:
    trouble = Trouble("invalid_response", f"{file_id} has changed while it was read.")
    return ProviderError(410, trouble, sent=True)


def _safe(id: str) -> str:
    return quote(id, safe="")


def _parsed(answer: Answer) -> Any:
    try:
        return msgspec.json.decode(answer.body)
    except msgspec.DecodeError:
        raise ProviderError(
            0, Trouble("invalid_response", "The answer is not JSON."), sent=True
        ) from None


def _object(answer: Answer) -> dict[str, Any]:
    found = _parsed(answer)
    if not isinstance(found, dict):
        trouble = Trouble("invalid_response", "The answer is not an object.")
        raise ProviderError(0, trouble, sent=True)
    return found
