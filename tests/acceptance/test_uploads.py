"""A batch of a file that came in parts, from the upload to the last answer."""

from collections import Counter

from tests.acceptance.conftest import House
from tests.acceptance.processes import ended, request_lines, results_of


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
