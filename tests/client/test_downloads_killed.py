"""Campaigns that are killed while a large file of results comes."""

import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import msgspec
import pytest

from batchyard.client.campaigns.campaign import Campaign
from batchyard.client.campaigns.settings import Settings
from tests.acceptance.processes import request_lines, until
from tests.client.breaking import Breaking
from tests.client.conftest import Strict

COUNT = 600


@pytest.fixture
def way(strict: Strict) -> Iterator[Breaking]:
    one = Breaking(strict.server.url)
    yield one
    one.close()


def test_what_has_come_is_not_fetched_again(strict: Strict, way: Breaking, tmp_path: Path) -> None:
    """After SIGKILL amid a download the next run goes on where it was."""
    settings = Settings(base_url=way.url, poll_seconds=0.05, settle_seconds=0.0)
    (tmp_path / "settings.json").write_bytes(msgspec.json.encode(settings))
    (tmp_path / "in.jsonl").write_bytes(request_lines(COUNT))
    way.cuts, way.stalls = [400_000], True
    raw = tmp_path / "c" / "raw"
    words = [sys.executable, "-m", "tests.client.victim", str(tmp_path)]
    with subprocess.Popen(words) as victim:
        try:
            until(lambda: any(one.stat().st_size > 390_000 for one in raw.glob(".*")))
        finally:
            victim.kill()
    (partial,) = raw.iterdir()
    there = partial.stat().st_size
    way.carried = []
    campaign = Campaign(tmp_path / "c", "key")
    counts = campaign.run()
    assert counts is not None
    assert counts["succeeded"] == COUNT
    (whole,) = raw.iterdir()
    size = whole.stat().st_size
    # What comes twice is what the two parts are held against each other by, and some headers.
    assert size - there < sum(way.carried) < size - there + 100_000
    batch_id = campaign.standing().chunks[0].batch_id
    assert batch_id is not None
    file_id = strict.openai.batches.retrieve(batch_id).output_file_id
    assert file_id is not None
    assert whole.read_bytes() == strict.openai.files.content(file_id).content
