"""A disk that fills while a batch runs, and has room again."""

import os
import shutil
from collections.abc import Callable
from pathlib import Path

from tests.acceptance.processes import Server, Sim, batch_of, ended, has_some, request_lines, until

_MARGIN_BYTES = 512 << 20
_LINES = 2_000


def test_a_full_disk_costs_no_answer(
    sim: Sim, serve: Callable[..., Server], tmp_path: Path
) -> None:
    """Nothing is asked while the disk is low, all that was asked is kept, and the batch ends."""
    sim.set("latency", "fixed:0.3")
    least = shutil.disk_usage(tmp_path).free - _MARGIN_BYTES
    server = serve([sim.url], disk_free_bytes_min=least)
    client = server.start()
    batch = batch_of(client, request_lines(_LINES))
    until(lambda: has_some(client, batch))
    ballast = tmp_path / "ballast"
    with ballast.open("wb") as file:
        os.posix_fallocate(file.fileno(), 0, 2 * _MARGIN_BYTES)

    def stands_still() -> bool:
        counts = client.batches.retrieve(batch.id).request_counts
        assert counts is not None
        return not sim.in_flight() and counts.completed == sim.served().total()

    until(stands_still)
    assert client.batches.retrieve(batch.id).status == "in_progress"
    ballast.unlink()
    counts = ended(client, batch).request_counts
    assert counts is not None
    assert (counts.completed, counts.failed) == (_LINES, 0)
    assert set(sim.served().values()) == {1}
