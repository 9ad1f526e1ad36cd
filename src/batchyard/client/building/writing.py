"""A batch file written line by line, in constant memory, each custom_id once."""

import json
import os
from array import array
from bisect import bisect_left
from collections.abc import Hashable, Iterable
from pathlib import Path
from types import TracebackType
from typing import Any, Self, Unpack

from batchyard.client.building import requests
from batchyard.client.building.requests import CustomId, EmbeddingInput, Request, encode
from batchyard.places.whole import install

__all__ = ["DuplicateIdError", "RequestFile", "Seen"]

_BUFFER_BYTES = 1 << 20


class DuplicateIdError(ValueError):
    """A custom_id stands in the file already; the line was not written."""


class Seen:
    """The custom_ids, or other values, so far: eight bytes for each, and room for the newest."""

    _PARTS = 64
    _FRESH = 1_024

    def __init__(self) -> None:
        self._old = [array("q") for _ in range(self._PARTS)]
        self._new: list[set[int]] = [set() for _ in range(self._PARTS)]

    def add(self, value: Hashable) -> bool:
        """Remember it; False when it (or, once in many billions, another) was there before."""
        mark = hash(value)
        number = mark % self._PARTS
        fresh, old = self._new[number], self._old[number]
        if mark in fresh:
            return False
        if old:
            place = bisect_left(old, mark)
            if place < len(old) and old[place] == mark:
                return False
        fresh.add(mark)
        if len(fresh) > self._FRESH + len(old) // 4:
            self._old[number] = array("q", sorted([*old, *fresh]))
            fresh.clear()
        return True


class RequestFile:
    """Writes requests to a file that is there when all of it is, and is replaced as a whole.

    Until `close` the lines stand in a file beside it; when the `with` block fails, no file comes
    to be and one that was there stays. With `append`, the lines of an existing file stay, and
    their custom_ids are refused.
    """

    def __init__(self, path: str | os.PathLike[str], *, append: bool = False) -> None:
        self.path = Path(path)
        self.lines = 0
        self.bytes = 0
        self._seen = Seen()
        self.path.parent.mkdir(parents=True, exist_ok=True)
        self._partial = self.path.with_name(f".{self.path.name}.{os.getpid()}.partial")
        self._out = self._partial.open("wb", buffering=_BUFFER_BYTES)
        if append and self.path.exists():
            self._copy()
        self.chat = Chat(self)
        self.responses = Responses(self)
        self.embeddings = Embeddings(self)
        self.completions = Completions(self)
        self.moderations = Moderations(self)
        self.images = Images(self)

    def add(self, request: Request) -> Request:
        """Write a request; raises DuplicateIdError where its custom_id is in the file."""
        if not self._seen.add(request.custom_id) and self._stands(request.custom_id):
            raise DuplicateIdError(
                f"The custom_id '{request.custom_id}' is in {self.path.name} already; it must be "
                "unique within a batch."
            )
        self.bytes += self._out.write(encode(request) + b"\n")
        self.lines += 1
        return request

    def extend(self, many: Iterable[Request]) -> int:
        """Write requests one after another; returns how many."""
        before = self.lines
        for request in many:
            self.add(request)
        return self.lines - before

    def close(self) -> None:
        """Finish the file: from now on it stands at its path."""
        if self._out.closed:
            return
        self._out.close()
        install(self._partial, self.path)

    def discard(self) -> None:
        """Drop what was written; a file that was there before stays."""
        if not self._out.closed:
            self._out.close()
            self._partial.unlink(missing_ok=True)

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, _error: object, _trace: TracebackType | None
    ) -> None:
        if kind is None:
            self.close()
        else:
            self.discard()

    def __del__(self) -> None:
        if "_out" in self.__dict__:
            self.discard()

    def _copy(self) -> None:
        with self.path.open("rb") as lines:
            for line in lines:
                self._out.write(line if line.endswith(b"\n") else line + b"\n")
                self.lines += 1
                self.bytes += len(line)
                self._seen.add(_custom_id(line))

    def _stands(self, custom_id: str) -> bool:
        """Whether this very custom_id was written; looked up only when a mark says so."""
        self._out.flush()
        with self._partial.open("rb") as lines:
            return any(_custom_id(line) == custom_id for line in lines)


def _custom_id(line: bytes) -> str:
    try:
        found = json.loads(line)
    except ValueError:
        return ""
    return str(found.get("custom_id", "")) if isinstance(found, dict) else ""


class Chat:
    """`chat.completions`, as in the SDK."""

    def __init__(self, out: RequestFile) -> None:
        self.completions = ChatCompletions(out)


class _Resource:
    """Requests of one kind that go to one file."""

    def __init__(self, out: RequestFile) -> None:
        self._out = out


class ChatCompletions(_Resource):
    """Requests for chat completions."""

    def create(
        self,
        custom_id: CustomId,
        model: str,
        *,
        messages: Any,
        **options: Unpack[requests.ChatOptions],
    ) -> Request:
        """Write a chat completion."""
        return self._out.add(requests.chat(custom_id, model=model, messages=messages, **options))

    parse = create


class Responses(_Resource):
    """Requests for responses."""

    def create(
        self,
        custom_id: CustomId,
        model: str,
        *,
        input: Any = None,
        **options: Unpack[requests.ResponseOptions],
    ) -> Request:
        """Write a response."""
        return self._out.add(requests.responses(custom_id, model=model, input=input, **options))

    parse = create


class Embeddings(_Resource):
    """Requests for embeddings."""

    def create(
        self,
        custom_id: CustomId,
        model: str,
        *,
        input: EmbeddingInput,
        **options: Unpack[requests.EmbeddingOptions],
    ) -> Request:
        """Write embeddings."""
        return self._out.add(requests.embeddings(custom_id, model=model, input=input, **options))


class Completions(_Resource):
    """Requests for completions."""

    def create(
        self,
        custom_id: CustomId,
        model: str,
        *,
        prompt: EmbeddingInput,
        **options: Unpack[requests.CompletionOptions],
    ) -> Request:
        """Write a completion."""
        return self._out.add(requests.completions(custom_id, model=model, prompt=prompt, **options))


class Moderations(_Resource):
    """Requests for moderations."""

    def create(
        self, custom_id: CustomId, *, input: Any, **options: Unpack[requests.ModerationOptions]
    ) -> Request:
        """Write a moderation."""
        return self._out.add(requests.moderations(custom_id, input=input, **options))


class Images(_Resource):
    """Requests for images."""

    def generate(
        self, custom_id: CustomId, *, prompt: str, **options: Unpack[requests.ImageOptions]
    ) -> Request:
        """Write a generation."""
        return self._out.add(requests.images(custom_id, prompt=prompt, **options))

    def edit(
        self, custom_id: CustomId, *, prompt: str, **options: Unpack[requests.ImageOptions]
    ) -> Request:
        """Write an edit."""
        return self._out.add(requests.image_edits(custom_id, prompt=prompt, **options))
