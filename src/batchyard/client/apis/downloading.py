"""Brings a file here piece by piece, whole or not at all, and goes on where it was cut short."""

import re
from collections.abc import Iterator, Mapping
from hashlib import sha256
from pathlib import Path
from typing import Any

from batchyard.client.apis.content import Content
from batchyard.client.apis.form import Moved, unheard
from batchyard.client.apis.persisting import persist
from batchyard.client.apis.provider import Provider, ProviderError, Trouble
from batchyard.places.whole import install

__all__ = ["download", "download_once", "forget"]

# So much of what is here is asked for again, and must be the same.
_OVERLAP_BYTES = 1 << 16
_STARTS_MAX = 3


class _AnotherFileError(Exception):
    """What comes is not the rest of what is here."""


class _Partial:
    """What there is of a file, beside its place.

    Its name says which file at which server it is of, and which version, so that nothing is ever
    continued with the bytes of another.
    """

    def __init__(self, out: Path, base_url: str, file_id: str) -> None:
        self._out = out
        self._file = _short(f"{base_url} {file_id}")
        for path in _partials_of(out):
            if path.name.split(".")[-2].partition("-")[0] != self._file:
                path.unlink()
        self._path = next(_partials_of(out), None)

    @property
    def size(self) -> int:
        """How much is here."""
        return self._path.stat().st_size if self._path is not None else 0

    def clear(self) -> None:
        """Begin again."""
        forget(self._out)
        self._path = None

    def publish(self) -> None:
        """Have it take its place."""
        assert self._path is not None
        install(self._path, self._out)
        forget(self._out)

    async def take(self, content: Content, moved: Moved) -> None:
        """Write what comes behind what is here, all of it where it comes from the start."""
        path = self._out.with_name(f".{self._out.name}.{self._name_for(content)}.partial")
        if not content.start:
            self.clear()
            self._path = path
            path.touch()
        elif path != self._path or not content.version:
            raise _AnotherFileError
        with path.open("r+b") as file:
            file.seek(content.start or 0)
            known, size = file.read(), self.size
            async for piece in content.pieces():
                same = min(len(known), len(piece))
                if piece[:same] != known[:same]:
                    raise _AnotherFileError
                known, rest = known[same:], piece[same:]
                # What is written when a kill comes is kept.
                file.write(rest)
                file.flush()
                size += len(rest)
                moved(size, content.total)

    def _name_for(self, content: Content) -> str:
        return f"{self._file}-{_short(content.version)}"


async def download_once(
    provider: Provider,
    file_id: str,
    out: Path,
    *,
    bytes_told: int | None = None,
    moved: Moved = unheard,
) -> tuple[int, int]:
    """Try once to bring a file to `out`; with how much was there before, and its size.

    What has come when a try fails, or is killed, stays beside `out`, and the next one goes on
    with it. `bytes_told` is how large the file object says it is, where that is known.
    """
    partial = _Partial(out, provider.base_url, file_id)
    begun = partial.size
    try:
        content = await _bring(provider, file_id, partial, moved)
        told = bytes_told
        if told is None and content.total is None:
            told = await provider.file_bytes(file_id)
        size = partial.size
        if told is not None and told != size:
            # It may be the figure that is wrong: two whole answers are believed.
            partial.clear()
            content = await _bring(provider, file_id, partial, moved)
            if partial.size != told and (partial.size != size or not content.tells_its_end):
                came = partial.size
                partial.clear()
                raise _wrong(f"{file_id} has {told:,} bytes, and {came:,} came. Try again.")
    except ProviderError as error:
        error.got_on = partial.size > begun
        raise
    size = partial.size
    partial.publish()
    return min(begun, size), size


async def download(
    provider: Provider, found: Mapping[str, Any], out: Path, moved: Moved = unheard
) -> tuple[int, int]:
    """The same for a file object, again while that helps."""
    told = found.get("bytes")
    bytes_told = told if isinstance(told, int) and told > 0 else None
    id = str(found["id"])
    begun, size = await persist(
        lambda: download_once(provider, id, out, bytes_told=bytes_told, moved=moved)
    )
    return begun, size


async def _bring(provider: Provider, file_id: str, partial: _Partial, moved: Moved) -> Content:
    """Bring all that is not here yet."""
    starts = 0
    while True:
        before = partial.size
        asked = max(0, before - _OVERLAP_BYTES)
        try:
            async with provider.content(file_id, asked) as content:
                if content.start not in (0, asked):
                    raise _AnotherFileError
                await partial.take(content, moved)
        except _AnotherFileError:
            starts = _again(partial, starts, file_id)
        except ProviderError as error:
            if error.status != 416 or not before:
                raise
            starts = _again(partial, starts, file_id)
        else:
            if content.total is None or partial.size == content.total:
                return content
            if partial.size <= before:
                raise _wrong(f"The server sends nothing of {file_id} from {before:,} on.")


def _again(partial: _Partial, starts: int, file_id: str) -> int:
    partial.clear()
    if starts + 1 >= _STARTS_MAX:
        raise _wrong(f"{file_id} changes while it is downloaded.")
    return starts + 1


def forget(out: Path) -> None:
    """Remove what there is of a file beside its place."""
    for path in _partials_of(out):
        path.unlink()


def _partials_of(out: Path) -> Iterator[Path]:
    name = re.compile(rf"\.{re.escape(out.name)}\.[0-9a-f]{{16}}-[0-9a-f]{{16}}\.partial")
    return iter([one for one in out.parent.iterdir() if name.fullmatch(one.name)])


def _short(text: str) -> str:
    return sha256(text.encode()).hexdigest()[:16]


def _wrong(message: str) -> ProviderError:
    return ProviderError(0, Trouble("invalid_response", message), sent=True)
