"""`batchyard make` as it is called."""

import importlib.util
import json
from pathlib import Path
from typing import Any, get_args

import click
import pytest
from click.testing import CliRunner

from batchyard.cli.main import main
from batchyard.cli.make import make
from batchyard.client.tables.sources import SUFFIXES
from batchyard.client.tabular.making import Kind
from tests.cli.calling import call

MODELS = """
from typing import Literal
from pydantic import BaseModel

class Sentiment(BaseModel):
    label: Literal["up", "down"]
"""


@pytest.fixture
def reviews(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A table of reviews, in the current folder."""
    monkeypatch.chdir(tmp_path)
    path = tmp_path / "reviews.csv"
    path.write_text('id,shop,text\n007,a,"Good {x}\n{ }"\n8,a,Bad\n8,b,Bad\n')
    return path


def made(*words: object) -> list[dict[str, Any]]:
    """The requests that stdout has."""
    done = call("make", *words)
    assert done.exit_code == 0, done.stderr
    return [json.loads(text) for text in done.stdout.splitlines()]


def test_each_row_becomes_a_request(reviews: Path, tmp_path: Path) -> None:
    """Columns fill the prompt, parameters are set, the file is one that `check` passes."""
    output = tmp_path / "batch.jsonl"
    words = ["--model", "gpt-4o-mini", "--prompt", 'Rate as {"n": 1}: {text}']
    words += ["--system", "For {shop}.", "--id", "id, shop", "--set", "temperature=0"]
    done = call("make", reviews, *words, "-o", output)
    assert (done.exit_code, done.stdout) == (0, "")
    assert "batch.jsonl: 3 requests" in done.stderr
    first = json.loads(output.read_text().splitlines()[0])
    assert first == {
        "custom_id": "007:a",
        "method": "POST",
        "url": "/v1/chat/completions",
        "body": {
            "model": "gpt-4o-mini",
            "messages": [
                {"role": "system", "content": "For a."},
                {"role": "user", "content": 'Rate as {"n": 1}: Good {x}\n{ }'},
            ],
            "temperature": 0,
        },
    }
    assert call("check", output).exit_code == 0
    assert call("make", reviews, *words, "-o", output).exit_code == 1


def test_a_schema_comes_from_a_module_or_a_file(reviews: Path, tmp_path: Path) -> None:
    """`module:Name` is looked for in the current folder; both go where the endpoint wants them."""
    (tmp_path / "shapes_of_test.py").write_text(MODELS)
    words = (reviews, "--model", "m", "--first", 1, "--schema")
    chat = made(*words, "shapes_of_test:Sentiment")[0]["body"]["response_format"]
    assert chat["json_schema"]["name"] == "Sentiment"
    assert chat["json_schema"]["schema"]["additionalProperties"] is False
    (tmp_path / "shape.json").write_text('{"type": "object", "properties": {}}')
    asked = made(*words, "shape.json", "--endpoint", "responses", "--system", "Hi.")[0]["body"]
    assert (asked["instructions"], asked["text"]["format"]["type"]) == ("Hi.", "json_schema")
    for spec in ("shapes_of_test:Nothing", "no_such_module:A", "shapes_of_test", "no.json"):
        assert call("make", *words, spec).exit_code == 2


def test_templates_come_from_files(reviews: Path, tmp_path: Path) -> None:
    """Messages where it is JSON, a text with fields else."""
    words = (reviews, "--model", "m", "--first", 1, "--template")
    for name, text in (
        ("b.txt", "A: {id}\n"),
        ("c.json", '[{"role": "user", "content": "A: {id}"}]'),
    ):
        (tmp_path / name).write_text(text)
        (request,) = made(*words, name)
        assert request["body"]["messages"] == [{"role": "user", "content": "A: 007"}]
    (tmp_path / "d.json").write_text('{"role": "user"}')
    assert call("make", *words, "d.json").exit_code == 2
    done = call("make", *words, "e.txt")
    assert (done.exit_code, "There is no file e.txt" in done.stderr) == (2, True)


def test_a_template_may_be_jinja(reviews: Path, tmp_path: Path) -> None:
    """By its suffix; without the extra, the command says what to install."""
    (tmp_path / "a.j2").write_text("{% if shop == 'a' %}{{ shop | upper }}{% endif %}: {{ id }}\n")
    done = call("make", reviews, "--model", "m", "--first", 1, "--template", "a.j2")
    if importlib.util.find_spec("jinja2") is None:
        assert (done.exit_code, "pip install 'batchyard[jinja]'" in done.stderr) == (1, True)
    else:
        assert json.loads(done.stdout)["body"]["messages"][0]["content"] == "A: 007"


def test_rows_come_from_anywhere(reviews: Path, tmp_path: Path) -> None:
    """JSONL, stdin, Parquet: rows are rows."""
    rows = [{"id": "1", "text": "a"}, {"id": "2", "text": "b"}]
    lines = "".join(json.dumps(row) + "\n" for row in rows)
    (tmp_path / "in.jsonl").write_text(lines)
    asked = made("in.jsonl", "--model", "m", "--endpoint", "embeddings")
    assert [one["body"]["input"] for one in asked] == ["a", "b"]
    words = ["make", "-", "--model", "m", "--id", "id"]
    for text in (lines, "id,text\n1,a\n2,b\n"):
        done = CliRunner().invoke(main, words, input=text)
        assert [json.loads(one)["custom_id"] for one in done.stdout.splitlines()] == ["1", "2"]


def test_ids_are_the_content_or_told(reviews: Path, tmp_path: Path) -> None:
    """The same row gives the same id; two rows with one id are refused, or left out if wanted."""
    words = (reviews, "--model", "m", "--first", 2)
    ids = [one["custom_id"] for one in made(*words)]
    assert ids == [one["custom_id"] for one in made(*words)]
    for id in ([], ["--id", "id"]):
        done = call("make", reviews, "--model", "m", *id, "-o", tmp_path / "out.jsonl")
        assert (done.exit_code, "row 3: " in done.stderr) == (3, True)
        assert not (tmp_path / "out.jsonl").exists()
        assert len(made(reviews, "--model", "m", *id, "--once")) == 2


def test_a_row_that_does_not_do_is_named(reviews: Path) -> None:
    """Exit code 3, the row, and what is wrong with it."""
    for words, why in (
        (["--prompt", "{txt}"], "row 1: The row has no field 'txt'"),
        (["--id", "nr"], "row 1: The row has no column 'nr'"),
        (["--set", "temperature=9"], "temperature must be"),
    ):
        done = call("make", reviews, "--model", "m", *words)
        assert (done.exit_code, why in done.stderr) == (3, True), done.stderr
    assert call("make", "nothing.csv", "--model", "m").exit_code in (1, 3)


def test_likely_typos_are_told_once(reviews: Path) -> None:
    """However many rows there are; the parameter is sent as it is."""
    done = call("make", reviews, "--model", "m", "--once", "--set", "temprature=0")
    assert done.stderr.count("did you mean 'temperature'?") == 1
    assert '"temprature":0' in done.stdout
    for one in ("model=x", "a", "a.b=1"):
        assert call("make", reviews, "--model", "m", "--set", one).exit_code == 2


def test_the_options_name_all_there_is() -> None:
    """What is written out in options, to come at once, is what the library knows."""
    options = {one.name: one.type for one in make.params}
    forms, kinds = options["form"], options["kind"]
    assert isinstance(forms, click.Choice)
    assert isinstance(kinds, click.Choice)
    assert forms.choices == tuple(dict.fromkeys(SUFFIXES.values()))
    assert kinds.choices == get_args(Kind)
