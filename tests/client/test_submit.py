"""`batchyard.submit` and the names of the library."""

import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

import batchyard
from batchyard.client.campaigns.beginning import OtherInputError
from batchyard.client.campaigns.cutting import InputError
from batchyard.client.campaigns.submit import folder_of, settings_for
from tests.client.stand_in import StandIn

LINE = b'{"custom_id":"d","method":"POST","url":"/v1/chat/completions","body":{"model":"m"}}'
FAST: dict[str, Any] = {"poll_seconds": 0.01, "settle_seconds": 0.0}


def requests() -> Iterator[Any]:
    for custom_id in ("a", "b"):
        yield batchyard.build.chat(custom_id, model="m", messages="hello")
    yield {"custom_id": "c", "url": "/v1/chat/completions", "body": {"model": "m"}}
    yield LINE


def test_requests_of_any_kind_are_submitted_and_the_same_again_goes_on(
    other: StandIn, tmp_path: Path
) -> None:
    """Built ones, dicts and lines; the same input in the same folder is the same campaign."""
    for _ in range(2):
        campaign = batchyard.submit(
            requests(),
            tmp_path / "c",
            to=other.url,
            key="key",
            **FAST,
        )
        assert len(other.batches) == 1
    assert campaign.run() == campaign.counts
    assert [(one.custom_id, one.outcome) for one in campaign.results()] == [
        (name, "succeeded") for name in "abcd"
    ]
    with pytest.raises(OtherInputError):
        batchyard.submit([LINE], tmp_path / "c", to=other.url)


async def test_async_code_has_a_door_of_its_own(other: StandIn, tmp_path: Path) -> None:
    """The same campaign, awaited."""
    campaign = await batchyard.asubmit([LINE], tmp_path / "c", to=other.url, key="key", **FAST)
    with pytest.raises(batchyard.IncompleteError):
        campaign.results()
    counts = await campaign.arun()
    assert counts is not None
    assert counts["succeeded"] == 1


@pytest.mark.parametrize("bad", [[], [LINE, LINE], [b"{}"]], ids=["none", "twice", "no request"])
def test_what_is_no_input_leaves_no_campaign(bad: list[bytes], tmp_path: Path) -> None:
    """The folder can be used for a better one."""
    with pytest.raises(InputError):
        batchyard.submit(bad, tmp_path / "c", to="http://127.0.0.1:1/v1")
    with pytest.raises(batchyard.NoCampaignError):
        batchyard.Campaign(tmp_path / "c")


def test_settings_fit_the_target() -> None:
    """By name or by URL; limits, purpose and pace are those of the target."""
    groq = settings_for("groq", {})
    assert (groq.base_url, groq.sizes.bytes) == ("https://api.groq.com/openai/v1", 100 << 20)
    assert settings_for("https://api.together.xyz/v1", {}).purpose == "batch-api"
    assert settings_for(None, {"OPENAI_BASE_URL": "http://a/v1"}).base_url == "http://a/v1"
    assert settings_for(None, {}, window="1h").base_url == "https://api.openai.com/v1"
    limited = settings_for("openai", {}, enqueued_tokens_max=10)
    assert (limited.sizes.tokens, limited.enqueued_tokens_max) == (10, 10)
    for nowhere in ("azure", "mars"):
        with pytest.raises(ValueError, match=f"(?i){nowhere}"):
            settings_for(nowhere, {})


def test_a_campaign_lives_beside_its_file() -> None:
    """Requests that are no file need a folder."""
    assert folder_of("x/in.jsonl") == Path("x/in.campaign")
    with pytest.raises(TypeError, match="folder"):
        folder_of([LINE])


def test_the_library_loads_what_is_asked_for() -> None:
    """Importing it costs next to nothing; each public name is there."""
    code = (
        "import sys, batchyard\n"
        "assert not [one for one in sys.modules if one.startswith('batchyard.')]\n"
        "assert all(getattr(batchyard, name) for name in batchyard.__all__)"
    )
    subprocess.run([sys.executable, "-c", code], check=True)
