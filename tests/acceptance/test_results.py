"""Results while a batch runs, with real processes."""

import json
import urllib.request
from collections import Counter
from typing import Any

from openai import OpenAI

from tests.acceptance.conftest import House
from tests.acceptance.processes import batch_of, ended, has_some, request_lines, results_of, until


def ask(client: OpenAI, path: str) -> tuple[dict[str, str], list[dict[str, Any]]]:
    """The headers and the lines of an answer."""
    request = urllib.request.Request(
        f"{str(client.base_url).rstrip('/')}{path}",
        headers={"authorization": f"Bearer {client.api_key}"},
    )
    with urllib.request.urlopen(request) as answer:
        headers = {name.lower(): text for name, text in answer.headers.items()}
        return headers, [json.loads(line) for line in answer.read().splitlines()]


def test_results_come_while_the_batch_runs(house: House) -> None:
    """Asked again and again, each line comes once, long before the batch ends."""
    # The last answers come long after the first, however wide the lane is already.
    house.sim.set("latency", "lognormal:0.6")
    batch = batch_of(house.client, request_lines(300))
    until(lambda: has_some(house.client, batch))
    # While it rests it cannot end, however slow this test is.
    house.client.post(f"/batches/{batch.id}/pause", cast_to=object)
    after, found = "at", list[dict[str, Any]]()

    def all_came() -> bool:
        nonlocal after
        headers, lines = ask(house.client, f"/batches/{batch.id}/results?after={after}&limit=90")
        assert len(lines) <= 90
        found.extend(lines)
        after = headers["x-next-after"]
        return headers["x-incomplete"] == "false"

    assert not all_came()
    assert found
    house.client.post(f"/batches/{batch.id}/resume", cast_to=object)
    until(all_came)
    batch = ended(house.client, batch)
    assert Counter(line["custom_id"] for line in found) == {f"c{i}": 1 for i in range(300)}
    assert all(line["custom_id"] == f"c{line.pop('line') - 1}" for line in found)
    output, _ = results_of(house.client, batch)
    assert sorted(found, key=str) == sorted(output, key=str)


def test_the_output_is_taken_as_it_grows(house: House) -> None:
    """Piece by piece from the offset that was told: together they are the output file."""
    house.sim.set("latency", "fixed:0.2")
    house.sim.set("faults", "422:0.1")
    batch = batch_of(house.client, request_lines(300))
    offset, found = "0", list[dict[str, Any]]()

    def all_came() -> bool:
        nonlocal offset
        headers, lines = ask(house.client, f"/batches/{batch.id}/output?offset={offset}")
        found.extend(lines)
        assert int(headers["x-last-line"]) == len(found)
        offset = headers["x-next-offset"]
        return headers["x-incomplete"] == "false"

    until(all_came)
    output, errors = results_of(house.client, ended(house.client, batch))
    assert found == output
    assert 0 < len(errors) == 300 - len(found)
