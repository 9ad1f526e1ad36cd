"""A campaign against our own server, in strict."""

import json
from pathlib import Path
from random import Random
from typing import Any

import pytest
from msgspec.structs import replace

from batchyard.client.campaigns import pursuit
from batchyard.client.campaigns.campaign import Campaign, OtherInputError
from batchyard.client.campaigns.cutting import Sizes
from batchyard.client.campaigns.settings import Progress, Settings
from batchyard.rules.limits import STRICT
from tests.acceptance.processes import request_lines
from tests.client.conftest import Strict


def settings(url: str, **changed: Any) -> Settings:
    one = Settings(base_url=url, poll_seconds=0.05, settle_seconds=0.01)
    return replace(one, **changed)


def begin(tmp_path: Path, count: int, asked: Settings) -> Campaign:
    source = tmp_path / "in.jsonl"
    source.write_bytes(request_lines(count))
    return Campaign.prepare(tmp_path / "c", source, asked, "key", chance=Random(str(tmp_path)))


def results(campaign: Campaign) -> list[dict[str, Any]]:
    return [json.loads(line) for line in campaign.results_path.read_bytes().splitlines()]


def test_a_file_becomes_one_result_for_each_request(strict: Strict, tmp_path: Path) -> None:
    """Submitted, watched, collected and merged, in the order of the input."""
    heard: list[Progress] = []
    campaign = begin(tmp_path, 20, settings(strict.server.url))
    counts = campaign.run(heard.append)
    assert counts is not None
    assert (counts["succeeded"], sum(counts.values())) == (20, 20)
    assert [one["custom_id"] for one in results(campaign)] == [f"c{n}" for n in range(20)]
    assert all(one["response"]["status_code"] == 200 for one in results(campaign))
    assert heard[-1].done == 20
    assert campaign.run() == counts


def test_it_tells_how_large_files_move(
    strict: Strict, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Up and down, in megabytes."""
    monkeypatch.setattr(pursuit, "_TOLD_BYTES", 1)
    heard: list[Progress] = []
    begin(tmp_path, 20, settings(strict.server.url)).run(heard.append)
    told = [one.moving for one in heard if one.moving]
    assert told[0] == "000000.jsonl goes up: 0 of 0 MB"
    assert told[-1] == "000000.output.jsonl comes: 0 of 0 MB"


def test_chunks_follow_one_another_under_a_limit(strict: Strict, tmp_path: Path) -> None:
    """One batch at a time, none of them empty, and all in the order of the input at the end."""
    sizes = Sizes(requests=4, bytes=STRICT.input_bytes_max, embedding_inputs=1)
    asked = settings(strict.server.url, sizes=sizes, batches_at_once=1)
    campaign = begin(tmp_path, 10, asked)
    counts = campaign.run()
    assert counts is not None
    assert counts["succeeded"] == 10
    assert [one.lines for one in campaign.standing().chunks] == [4, 4, 2]
    assert [one["line"] for one in results(campaign)] == list(range(1, 11))


async def test_it_runs_inside_an_event_loop(strict: Strict, tmp_path: Path) -> None:
    """As in a notebook: the plain door works there too, and so does the async one."""
    campaign = begin(tmp_path, 3, settings(strict.server.url))
    counts = campaign.run(until="submitted")
    assert counts is None
    counts = await campaign.arun()
    assert counts is not None
    assert counts["succeeded"] == 3


def test_a_folder_belongs_to_one_input(strict: Strict, tmp_path: Path) -> None:
    """The same file goes on, another one is refused."""
    asked = settings(strict.server.url)
    first = begin(tmp_path, 3, asked).manifest
    assert begin(tmp_path, 3, asked).manifest == first
    with pytest.raises(OtherInputError):
        begin(tmp_path, 4, asked)
