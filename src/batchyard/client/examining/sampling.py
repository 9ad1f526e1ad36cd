"""Some lines of a file by chance, each as likely as any other, the same ones for the same seed."""

from collections.abc import Iterable, Iterator
from random import Random

from batchyard.wire.lines import BOM

__all__ = ["records_of", "sample"]


def sample(records: Iterable[bytes], count: int, chance: Random) -> list[bytes]:
    """As many of the records, in their order; all of them where there are no more.

    Reads them once and holds no more than it gives.
    """
    chosen: list[tuple[int, bytes]] = []
    for number, record in enumerate(records):
        if number < count:
            chosen.append((number, record))
        elif (place := chance.randrange(number + 1)) < count:
            chosen[place] = (number, record)
    return [record for _, record in sorted(chosen)]


def records_of(lines: Iterable[bytes], *, quoted: bool) -> Iterator[bytes]:
    """What is not blank of a file, each with its line break.

    With `quoted`, as in CSV, a line break in quotes belongs to the record.
    """
    held: list[bytes] = []
    odd = False
    for line in lines:
        held.append(line)
        odd ^= quoted and line.count(b'"') % 2 == 1
        if not odd:
            yield from _one(b"".join(held))
            held = []
    yield from _one(b"".join(held))


def _one(record: bytes) -> Iterator[bytes]:
    if record.strip(b" \t\r\n" + BOM):
        yield record if record.endswith(b"\n") else record + b"\n"
