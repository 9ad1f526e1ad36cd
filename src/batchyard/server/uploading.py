"""Takes a multipart upload as it flows: to the disk, through the hash, past the validation.

The loop only cuts the stream into blocks; of each, one thread writes and hashes, another validates.
"""

import asyncio
import re
from collections.abc import AsyncIterator, Callable
from typing import NamedTuple
from urllib.parse import unquote

from multipart import MultipartError, MultipartSegment, PushMultipartParser, parse_options_header

from batchyard.places.blobs import Writing
from batchyard.places.database import Runner
from batchyard.rules.limits import Limits
from batchyard.rules.validate import Scan
from batchyard.wire.errors import ApiError

__all__ = ["FORM_BYTES_MAX", "Form", "Upload", "label", "receive", "too_large"]

# Twice this is what an upload holds in memory, beside one line.
_BLOCK_BYTES = 1 << 20
_FIELD_BYTES_MAX = 8_192
_PARTS_MAX = 32
# A file name may be long: it is cut to a label, not refused.
_PART_HEAD_BYTES_MAX = 16 << 10
# All that is not the file's content: fields, headers of parts, what surrounds the boundaries.
FORM_BYTES_MAX = 1 << 20


class Upload(NamedTuple):
    """A file whose bytes are written but not yet named."""

    writing: Writing
    scan: Scan | None
    filename: str


class Form(NamedTuple):
    """What a multipart form held."""

    fields: dict[str, str]
    upload: Upload


async def receive(
    stream: AsyncIterator[bytes],
    content_type: str,
    *,
    limits: Limits,
    runner: Runner,
    create: Callable[[], Writing],
    field: str = "file",
) -> Form:
    """Read a form with one file; raises ApiError, and then leaves nothing behind.

    In another field than `file` come bytes of which validation wants to know nothing yet.
    """
    reception = _Reception(limits, runner, create, field)
    try:
        return await reception.read(stream, _parser(content_type, field))
    except BaseException:
        await reception.abandon()
        raise


class _Reception:
    """One form while it comes in: one block is gathered while the one before it is stored."""

    def __init__(
        self, limits: Limits, runner: Runner, create: Callable[[], Writing], field: str
    ) -> None:
        self._limits, self._runner, self._create = limits, runner, create
        self._file_field = field
        self._fields: dict[str, str] = {}
        self._upload: Upload | None = None
        self._segment: MultipartSegment | None = None
        self._field = bytearray()
        self._block: list[bytes] = []
        self._block_bytes = self._file_bytes = 0
        self._storing: asyncio.Task[None] | None = None

    async def read(self, stream: AsyncIterator[bytes], parser: PushMultipartParser) -> Form:
        received_bytes = 0
        try:
            async for chunk in stream:
                received_bytes += len(chunk)
                for event in parser.parse(chunk) if chunk else ():
                    self._take(event)
                if received_bytes - self._file_bytes > FORM_BYTES_MAX:
                    raise ApiError(400, "The form is too long beside its file.")
                if self._block_bytes >= _BLOCK_BYTES:
                    await self._pass_on()
            parser.close()
        except MultipartError as error:
            raise _unreadable(error) from error
        if self._upload is None:
            raise ApiError.missing(self._file_field)
        await self._pass_on()
        await self._stored()
        return Form(self._fields, self._upload)

    async def abandon(self) -> None:
        """Leave nothing behind."""
        if self._storing is not None:
            await asyncio.gather(self._storing, return_exceptions=True)
        if self._upload is not None:
            await self._runner.run(self._upload.writing.abandon)

    def _take(self, event: MultipartSegment | bytearray | bytes | None) -> None:
        if isinstance(event, MultipartSegment):
            self._begin(event)
        elif event is None:
            self._end()
        elif self._segment is not None and self._segment.name == self._file_field:
            self._file_bytes += len(event)
            if self._file_bytes > self._limits.file_bytes_max:
                raise too_large(self._limits, self._file_field)
            self._block.append(bytes(event))
            self._block_bytes += len(event)
        else:
            self._field += event
            if len(self._field) > _FIELD_BYTES_MAX:
                raise ApiError(400, "A form field is too long.", code="string_above_max_length")

    def _begin(self, segment: MultipartSegment) -> None:
        name = _meant(segment.name or "")
        if name in self._fields or (name == self._file_field and self._upload is not None):
            shown = name[:64]
            raise ApiError(400, f"Form field '{shown}' was given more than once.", param=shown)
        self._segment = segment
        if name == self._file_field:
            filename = _filename(segment)
            if not filename:
                raise ApiError(
                    400,
                    f"The form field '{name}' must be a file with a name "
                    f'(Content-Disposition: form-data; name="{name}"; filename="...").',
                    param=name,
                )
            scan = Scan(self._limits) if name == "file" else None
            self._upload = Upload(self._create(), scan, label(filename))

    def _end(self) -> None:
        segment, self._segment = self._segment, None
        if segment is not None and segment.name != self._file_field:
            self._fields[_meant(segment.name or "")] = self._field.decode(errors="replace")
            self._field = bytearray()

    async def _pass_on(self) -> None:
        block, self._block, self._block_bytes = b"".join(self._block), [], 0
        await self._stored()
        self._storing = asyncio.create_task(self._store(block))
        # The threads must come to their turn even when the stream never makes us wait.
        await asyncio.sleep(0)

    async def _store(self, block: bytes) -> None:
        assert self._upload is not None
        if self._upload.scan is None:
            await self._runner.run(self._upload.writing.write, block)
            return
        # Writing and hashing leave the interpreter to the validation.
        ended = await asyncio.gather(
            self._runner.run(self._upload.writing.write, block),
            self._runner.run(self._upload.scan.feed, block),
            return_exceptions=True,
        )
        for fault in ended:
            if fault is not None:
                raise fault

    async def _stored(self) -> None:
        if self._storing is not None:
            # Unlike a plain await, this does not cancel what the threads are doing.
            await asyncio.wait([self._storing])
            self._storing.result()


def too_large(limits: Limits, field: str = "file") -> ApiError:
    """What to answer to a file, or a part of one, beyond the limit."""
    what = "file" if field == "file" else "part"
    return ApiError(
        413,
        f"The {what} is larger than {limits.file_bytes_max:,} bytes, the most a {what} may have.",
        param=field,
    )


def _filename(segment: MultipartSegment) -> str:
    # Not meant for forms, yet some clients send names beyond ASCII in this way.
    extended = re.search(r"filename\*=utf-8''([^\s;]+)", segment["Content-Disposition"], re.I)
    return unquote(extended[1]) if extended else _meant(segment.filename or "")


def _meant(text: str) -> str:
    """A text of a part's head in UTF-8, or where it is not that in Latin-1: a name is a label."""
    try:
        return text.encode("latin-1").decode()
    except UnicodeError:
        return text


def _unreadable(error: MultipartError) -> ApiError:
    # What else it was given, Python would show in its own way.
    what = error.args[0] if error.args else "it is malformed"
    return ApiError(400, f"Could not parse multipart form: {what}.")


def label(filename: str) -> str:
    """A file name as a label: the last part of a path, printable, at most 255 characters."""
    last = re.split(r"[/\\]", filename)[-1]
    return "".join(one for one in last if one.isprintable())[:255] or "upload"


def _parser(content_type: str, field: str) -> PushMultipartParser:
    kind, options = parse_options_header(content_type)
    if kind != "multipart/form-data":
        fields = "fields 'purpose' and 'file'" if field == "file" else f"field '{field}'"
        raise ApiError(400, f"Send the file as multipart/form-data with the {fields}.")
    boundary = options.get("boundary", "")
    if not 0 < len(boundary) <= 70:
        raise ApiError(400, "The multipart boundary must have 1 to 70 characters.")
    try:
        return PushMultipartParser(
            boundary,
            max_segment_count=_PARTS_MAX,
            max_header_size=_PART_HEAD_BYTES_MAX,
            # Takes any bytes; what they were meant to be is seen later.
            header_charset="latin-1",
        )
    except MultipartError as error:
        raise _unreadable(error) from error
