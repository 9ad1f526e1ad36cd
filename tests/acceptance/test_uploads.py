"""A batch of a file that came in parts, from the upload to the last answer."""

from collections import Counter
from collections.abc import Callable

import openai
import pytest

from tests.acceptance.conftest import House
from tests.acceptance.processes import Server, Sim, ended, request_lines, results_of, until


def test_a_batch_runs_over_the_borders_of_parts(house: House) -> None:
    """Neither lines nor shards end where parts do; each line is answered once all the same."""
    lines = request_lines(1_203)
    upload = house.client.uploads.upload_file_chunked(
        file=lines,
        filename="lines.jsonl",
        bytes=len(lines),
        mime_type="application/jsonl",
        purpose="batch",
        part_size=len(lines) // 7,
    )
    assert upload.file is not None
    batch = house.client.batches.create(
        input_file_id=upload.file.id,
        endpoint="/v1/chat/completions",
        completion_window="24h",
    )
    batch = ended(house.client, batch)
    output, errors = results_of(house.client, batch)
    assert (batch.status, errors) == ("completed", [])
    assert Counter(f"c{i}" for i in range(1_203)) == Counter(str(it["custom_id"]) for it in output)
    assert sum(house.sim.served().values()) == 1_203


def test_a_completion_that_a_kill_cut_short_is_sent_again(
    shared_sim: Sim, serve: Callable[..., Server]
) -> None:
    """SIGKILL between the commit and the answer: the file is shown that is there, and no other."""
    lines, named = request_lines(20), {"Idempotency-Key": "the only one"}
    server = serve([shared_sim.url])
    uploads = server.start(BATCHYARD_FAULT="file.after_commit").uploads
    upload = uploads.create(
        filename="lines.jsonl", bytes=len(lines), mime_type="application/jsonl", purpose="batch"
    )
    half = len(lines) // 2
    parts = [uploads.parts.create(upload.id, data=it).id for it in (lines[:half], lines[half:])]
    with pytest.raises(openai.APIConnectionError):
        uploads.complete(upload.id, part_ids=parts, extra_headers=named)
    until(server.died)
    client = server.start()
    (before,) = client.files.list()
    done = client.uploads.complete(upload.id, part_ids=parts, extra_headers=named)
    assert done.file is not None
    assert [before.id] == [done.file.id] == [file.id for file in client.files.list()]
    assert client.files.content(done.file.id).read() == lines
