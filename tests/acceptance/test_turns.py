"""Batches that come while a large one is served, with real processes."""

from collections.abc import Callable

import pytest

from tests.acceptance.processes import Server, Sim, batch_of, ended, request_lines, until

Serve = Callable[..., Server]


@pytest.mark.timeout(120)
@pytest.mark.parametrize("workers", [1, 2])
def test_a_large_batch_gives_way(sim: Sim, serve: Serve, workers: int) -> None:
    """To one of higher priority, and to one whose window is a minute; its lines are asked once."""
    sim.set("latency", "fixed:0.5")
    server = serve([sim.url], workers=workers)
    text = (server.folder / "batchyard.toml").read_text()
    (server.folder / "batchyard.toml").write_text(text + "max_concurrency = 4\n")
    client = server.start()
    large = batch_of(client, request_lines(1_000))
    until(lambda: sum(sim.served().values()) > 8)
    file = client.files.create(file=("l.jsonl", request_lines(15)), purpose="batch")

    def create(**extra: object) -> str:
        made = client.batches.create(
            input_file_id=file.id,
            endpoint="/v1/chat/completions",
            completion_window="24h",
            extra_body=extra,
        )
        return made.id

    quick, short = create(priority=100), create(completion_window="60s")
    for id in (quick, short):
        assert ended(client, client.batches.retrieve(id)).status == "completed"
    counts = client.batches.retrieve(large.id).request_counts
    assert counts is not None
    assert counts.completed < 500
    assert max(sim.served().values()) <= 3
    client.batches.cancel(large.id)
    assert ended(client, large).status == "cancelled"
