"""`batchyard split`: a file that is too large becomes files that a target takes."""

from __future__ import annotations

import sys
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import TYPE_CHECKING

import click

from batchyard.cli.lazily import lazily
from batchyard.cli.options import SOURCE, amount, json_option, tell_json
from batchyard.cli.targeting import TARGET

with lazily():
    from batchyard.client.apis import targets
    from batchyard.client.examining import planning, reading

if TYPE_CHECKING:
    from batchyard.client.examining.planning import Chunk
    from batchyard.client.examining.reading import Line


__all__ = ["split"]

_INVALID = 3
# So much is held of all files together before it is written.
_HELD_BYTES_MAX = 16 << 20


@click.command()
@SOURCE
@TARGET
@click.option(
    "-o",
    "--output",
    "folder",
    metavar="DIR",
    type=click.Path(file_okay=False, path_type=Path),
    help="Where the files go; the folder of the input unless given.",
)
@click.option("--max-requests", callback=amount, metavar="N", help="Requests of a file.")
@click.option("--max-bytes", callback=amount, metavar="N", help="Bytes of a file: 100M.")
@click.option("--max-embedding-inputs", callback=amount, metavar="N", help="Inputs of a file.")
@click.option("--max-tokens", callback=amount, metavar="N", help="Input tokens of a file: 2M.")
@click.option(
    "--max-enqueued-tokens",
    callback=amount,
    metavar="N",
    help="Input tokens of a model that may be enqueued at once; orders the files into waves.",
)
@click.option("--dry-run", is_flag=True, help="Tell the plan and write nothing.")
@json_option("Which it does anyway.")
def split(
    *, source: Path, target: str, folder: Path | None, dry_run: bool, **most: int | None
) -> None:
    """Split IN.jsonl by requests, bytes, inputs, tokens, model and endpoint.

    Writes IN.001.jsonl and so on; stdout has a JSON line for each, in the order in which they may
    be sent: those of one wave fit the queue together.
    """
    enqueued = most["max_enqueued_tokens"] or targets.TARGETS[target].enqueued_tokens_max
    tokens = min((one for one in (most["max_tokens"], enqueued) if one), default=None)
    bounds = planning.bounds_of(
        targets.TARGETS[target],
        requests=most["max_requests"],
        bytes=most["max_bytes"],
        embedding_inputs=most["max_embedding_inputs"],
        tokens=tokens,
    )
    try:
        # Nothing is written before it is known that all of it fits.
        chunks = {chunk.number: chunk for chunk, _ in planning.plan(_lines(source), bounds)}
    except planning.Misfit as error:
        click.echo(f"{source}: {error}", err=True)
        sys.exit(_INVALID)
    files = _Files(source, folder or source.parent)
    if not dry_run:
        files.begin(chunks)
        for chunk, line in planning.plan(_lines(source), bounds):
            files.take(chunk.number, line)
        files.flush()
    order = planning.waves(chunks.values(), enqueued)
    for wave, numbers in enumerate(order, 1):
        for number in numbers:
            tell_json(_shown(chunks[number], files.path(number), wave))
    requests = sum(one.requests for one in chunks.values())
    click.echo(
        f"{source}: {requests:,} requests, files: {len(chunks):,}, waves: {len(order):,}"
        + ("; nothing was written" if dry_run else ""),
        err=True,
    )


def _lines(source: Path) -> Iterator[Line]:
    return reading.lines_of(reading.chunks_of(source))


def _shown(chunk: Chunk, path: Path, wave: int) -> dict[str, object]:
    return {
        "file": str(path),
        "wave": wave,
        "endpoint": chunk.endpoint,
        "model": chunk.model,
        "requests": chunk.requests,
        "bytes": chunk.bytes,
        "embedding_inputs": chunk.embedding_inputs,
        "input_tokens": chunk.tokens,
        "first_line": chunk.first_line,
        "last_line": chunk.last_line,
    }


class _Files:
    """The files of all chunks, which are opened only to append what was held."""

    def __init__(self, source: Path, folder: Path) -> None:
        self._source, self._folder = source, folder
        self._held: dict[int, list[bytes]] = {}
        self._held_bytes = 0

    def path(self, number: int) -> Path:
        """Where a chunk is written."""
        return self._folder / f"{self._source.stem}.{number:03}{self._source.suffix or '.jsonl'}"

    def begin(self, numbers: Iterable[int]) -> None:
        """See that nothing is in the way."""
        self._folder.mkdir(parents=True, exist_ok=True)
        for path in map(self.path, numbers):
            if path.exists():
                raise click.ClickException(
                    f"{path} exists already; nothing was written. Remove it or choose another -o."
                )

    def take(self, number: int, line: bytes) -> None:
        """Write the next line of a chunk."""
        self._held.setdefault(number, []).append(line)
        self._held_bytes += len(line)
        if self._held_bytes > _HELD_BYTES_MAX:
            self.flush()

    def flush(self) -> None:
        """Write what is held."""
        for number, lines in self._held.items():
            with self.path(number).open("ab") as file:
                file.writelines(part for line in lines for part in (line, b"\n"))
        self._held, self._held_bytes = {}, 0
