"""`batchyard estimate` as it is called."""

import json
from pathlib import Path

import pytest

from tests.cli.calling import call
from tests.client.lines import line

PRICES = '[[price]]\nmodel = "own-*"\ninput = 1000.0\noutput = 1000.0\ndiscount = 0.5\n'


@pytest.fixture
def words(tmp_path: Path) -> list[object]:
    """A file of one model that has a price of its own."""
    source, config = tmp_path / "in.jsonl", tmp_path / "by.toml"
    source.write_text("".join(line(f"{n}", model="own-1", max_tokens=100) for n in range(10)))
    config.write_text(PRICES)
    return ["estimate", source, "--config", config]


def test_dollars_are_told(words: list[object]) -> None:
    """Low and high, in a batch and one by one, and who says so; the method on stderr."""
    done = call(*words, "--rate", "5")
    assert done.exit_code == 0
    assert "own-1: 10 requests; 222 input tokens; 200 to 1,000 output tokens; " in done.stdout
    assert "batch $0.2110 to $0.6110, one by one $0.4220 to $1.22" in done.stdout
    assert "prices: own table" in done.stdout
    assert "2.0 s" in done.stdout
    assert "a token for every 4 bytes" in done.stderr


def test_a_cap_refuses(words: list[object]) -> None:
    """`--max-usd` below the high end is exit code 8; above it, 0."""
    assert call(*words, "--max-usd", "0.5").exit_code == 8
    assert call(*words, "--max-usd", "0.62").exit_code == 0


def test_a_cap_refuses_what_has_no_price(tmp_path: Path) -> None:
    """What nobody has a price for is not under any cap."""
    source = tmp_path / "in.jsonl"
    source.write_text(line("a", model="nobody-knows-it"))
    done = call("estimate", source, "--for", "batchyard", "--max-usd", "1000")
    assert done.exit_code == 8
    assert "no price is known of nobody-knows-it" in done.stderr


def test_json_is_one_object(words: list[object]) -> None:
    """`--json` writes all of it as one object."""
    shown = json.loads(call(*words, "--json").stdout)
    assert shown["estimate"]["batch_usd"] == pytest.approx([0.211, 0.611])
    assert shown["target"] == "openai"


def test_hosted_models_have_list_prices(tmp_path: Path) -> None:
    """With the extra `prices`, OpenAI's models cost what is listed, in a batch half of it."""
    source = tmp_path / "in.jsonl"
    source.write_text(line("a", model="gpt-4o-mini"))
    (row,) = json.loads(call("estimate", source, "--json").stdout)["estimate"]["models"]
    assert row["price"].startswith("genai-prices ")
    assert row["batch_usd"] == pytest.approx([usd / 2 for usd in row["realtime_usd"]])
