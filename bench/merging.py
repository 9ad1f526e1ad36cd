"""A campaign whose batches have all ended: `python -m bench.merging prepare|merge LINES FOLDER`."""

import json
import sys
from collections.abc import Iterator
from pathlib import Path

from batchyard.client.campaigns.cutting import Sizes, cut, write_chunks
from batchyard.client.campaigns.intents import Chunk
from batchyard.client.campaigns.merging import Ledger
from bench.inputs import ENDPOINT, write_lines

_CHUNK_LINES = 50_000
_SIZES = Sizes(requests=_CHUNK_LINES, bytes=1 << 40, embedding_inputs=1)
# Has no divisor in common with the lines of a chunk: answers come in another order.
_STRIDE = 7_919
_ANSWER = (
    b'{"id":"batch_req_%d","custom_id":"request-%d","response":{"status_code":200,"request_id":'
    b'"req_%d","body":{"id":"chatcmpl-%d","object":"chat.completion","created":1790000000,'
    b'"model":"m1","choices":[{"index":0,"message":{"role":"assistant","content":"%s"},'
    b'"finish_reason":"stop"}],"usage":{"prompt_tokens":20,"completion_tokens":60,'
    b'"total_tokens":80}}},"error":null}\n'
)
_SAID = b"An answer of a few words. " * 8


def prepare(lines: int, folder: Path) -> None:
    """Write the input, the chunks and what came back, each line once."""
    for part in ("chunks", "raw"):
        (folder / part).mkdir(parents=True)
    source = write_lines(folder / "input.jsonl", lines, line_bytes=400)
    with source.open("rb") as file:
        write_chunks(cut(enumerate(file), _SIZES, folder / "chunks", 0), 1, list)
    for chunk in _chunks(lines):
        first = chunk.number * _CHUNK_LINES
        with (folder / "raw" / f"{chunk.name}.output.jsonl").open("wb") as answered:
            for place in range(chunk.lines):
                number = first + place * _STRIDE % chunk.lines
                answered.write(_ANSWER % (number, number, number, number, _SAID))


def merge(lines: int, folder: Path) -> None:
    """Read all of it, and write one result for each request in the order of the input."""
    ledger = Ledger(folder, lines, accept_cut_off=False)
    for chunk in _chunks(lines):
        ledger.add(chunk)
    counts = ledger.write(folder / "results.jsonl")
    ledger.close()
    json.dump(counts, sys.stdout)


def _chunks(lines: int) -> Iterator[Chunk]:
    for number, first in enumerate(range(0, lines, _CHUNK_LINES)):
        held = min(_CHUNK_LINES, lines - first)
        yield Chunk(number, 1, ENDPOINT, held, 0, batch_id=f"batch_{number}", status="completed")


if __name__ == "__main__":
    {"prepare": prepare, "merge": merge}[sys.argv[1]](int(sys.argv[2]), Path(sys.argv[3]))
