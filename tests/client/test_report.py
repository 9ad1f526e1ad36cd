"""The report on a campaign, as the HTML that it is."""

import json
import re
from pathlib import Path
from random import Random
from typing import Any

import pytest
from click.testing import Result

from batchyard.client.campaigns.campaign import Campaign
from batchyard.client.campaigns.cutting import Sizes
from batchyard.client.campaigns.settings import Settings
from batchyard.client.report.writing import facts_of
from tests.cli.calling import call
from tests.client.conftest import Strict
from tests.client.lines import line
from tests.client.pages import Page, read_page

LABELS = ["Positive", "Neutral", "Negative"]
SCHEMA = {
    "type": "object",
    "properties": {"sentiment": {"type": "string", "enum": LABELS}, "sure": {"type": "number"}},
    "required": ["sentiment", "sure"],
    "additionalProperties": False,
}
FORMAT = {"type": "json_schema", "json_schema": {"name": "S", "strict": True, "schema": SCHEMA}}
HOSTILE = "</td><script>alert(1)</script><img src=http://evil.example onerror=alert(1)>\u202e\x00"


def answer(custom_id: str, text: str, **more: Any) -> dict[str, Any]:
    """A line of an output file."""
    message = {"role": "assistant", "content": text}
    body = {
        "model": "m1",
        "created": 1_760_000_000,
        "choices": [{"index": 0, "message": message, "finish_reason": "stop"}],
        "usage": {"prompt_tokens": 10, "completion_tokens": 2, "total_tokens": 12},
    }
    response = {"status_code": 200, "request_id": "r", "body": body | more}
    return {"id": "x", "custom_id": custom_id, "response": response, "error": None}


def written(path: Path, *lines: dict[str, Any]) -> Path:
    path.write_text("".join(json.dumps(one) + "\n" for one in lines))
    return path


def reported(source: Path, *words: object) -> Page:
    """What the command writes of a source."""
    done = call("report", source, "-o", "-", *words)
    assert done.exit_code == 0, done.output
    return read_page(done.stdout)


@pytest.fixture(scope="module")
def campaign(_strict: Strict, tmp_path_factory: pytest.TempPathFactory) -> Campaign:
    """A campaign of 60 reviews that has ended; a part of it was refused."""
    folder = tmp_path_factory.mktemp("report")
    told = {"role": "system", "content": "Label the review & answer in JSON."}
    (folder / "in.jsonl").write_text(
        "".join(
            line(
                f"r{number}",
                model="m1",
                messages=[told, {"role": "user", "content": f"<b>review</b> {number}"}],
                response_format=FORMAT,
                metadata={"gold": LABELS[number % 3]},
            )
            for number in range(60)
        )
    )
    _strict.sim.set("faults", "422:0.2")
    asked = Settings(base_url=_strict.server.url, poll_seconds=0.05, settle_seconds=0.01)
    source, chance = folder / "in.jsonl", Random("report")
    one = Campaign.prepare(folder / "reviews", source, asked, "key", chance=chance)
    one.run()
    _strict.sim.calm()
    return one


def test_a_page_tells_of_a_campaign(campaign: Campaign) -> None:
    """Outcomes, errors, labels, agreement and tokens are those of the results, and add up."""
    results = [
        json.loads(one) for one in (campaign.folder / "results.jsonl").read_bytes().splitlines()
    ]
    bodies = [one["response"]["body"] for one in results if one["outcome"] == "succeeded"]
    page = reported(campaign.folder, "--gold", "gold", "--label", "sentiment")

    counts = page.numbers("outcomes")
    assert counts.pop("All") == sum(counts.values()) == 60
    assert counts["Succeeded"] == len(bodies) < 60
    assert page.numbers("errors", 2) == {"invalid_request_error": counts["Errored"]}

    labels = page.numbers("labels")
    assert set(LABELS) <= set(labels)
    assert sum(labels[one] for one in LABELS) == len(bodies)

    matrix = page.rows["agreement"][1:4]
    assert sum(int(one) for row in matrix for one in row[1:]) == 60
    assert "(no answer)" in page.rows["agreement"][0]

    written = sum(one["usage"]["completion_tokens"] for one in bodies)
    assert page.numbers("cost", 4)["All"] == written
    assert "Label the review & answer in JSON." in page.text
    assert str(campaign.manifest.settings.base_url) in page.text


def test_a_page_loads_and_runs_nothing(campaign: Campaign) -> None:
    """No script, no event, no reference to anything outside, and a policy that forbids them."""
    page = reported(campaign.folder)
    names = {name for name, _ in page.tags}
    assert not names & {"script", "link", "img", "iframe", "object", "base", "form", "image", "use"}
    for _, attributes in page.tags:
        assert not any(name.startswith("on") or name == "src" for name in attributes)
        assert attributes.get("href", "#").startswith("#")
        assert "url(" not in attributes.get("style", "")
    (policy,) = [one["content"] for _, one in page.tags if "http-equiv" in one]
    assert policy.startswith("default-src 'none'")


def test_a_page_can_be_read_without_seeing_it(campaign: Campaign) -> None:
    """Heads of tables have a scope, plots a title and a description, ids come once."""
    page = reported(campaign.folder, "--gold", "gold")
    assert all(one.get("scope") for name, one in page.tags if name == "th")
    ids = [one["id"] for _, one in page.tags if "id" in one]
    assert len(ids) == len(set(ids))
    named = " ".join(one.get("aria-labelledby", "") for _, one in page.tags).split()
    assert set(named) <= set(ids)
    for name, one in page.tags:
        if name == "svg":
            assert one.get("aria-hidden") == "true" or (one["role"], bool(one["aria-labelledby"]))


def test_what_models_say_is_text(tmp_path: Path) -> None:
    """Markup in answers, ids, codes, messages and models is shown as it is, and does nothing."""
    refused = {"code": HOSTILE, "message": HOSTILE}
    path = written(
        tmp_path / "<script>x.jsonl",
        answer(HOSTILE, HOSTILE, model=HOSTILE),
        answer("b", json.dumps({HOSTILE: HOSTILE, "n": 1.5})),
        answer("c", json.dumps({HOSTILE: HOSTILE, "n": 2.5})),
        {"custom_id": "d" + HOSTILE, "response": None, "error": refused},
    )
    page = reported(path)
    assert not {name for name, _ in page.tags} & {"script", "img"}
    assert page.text.count("<script>alert(1)</script>") > 4
    assert not re.search("[\x00\u202e]", page.text)


def test_a_page_stays_small(tmp_path: Path) -> None:
    """However long ids, codes, models, fields and texts are, and however many there are."""
    endless = "<long>" * 5_000
    path = written(
        tmp_path / "out.jsonl",
        *(answer(f"{n}{endless}", f"{n}{endless}", model=f"{n}{endless}") for n in range(150)),
        *(answer(f"f{n}", json.dumps({f"{n}{endless}": 1, f"g{n}": n})) for n in range(150)),
        *(
            {"custom_id": f"e{n}", "response": None, "error": {"code": f"{n}{endless}"}}
            for n in range(150)
        ),
    )
    done = call("report", path, "-o", "-")
    assert read_page(done.stdout).numbers("outcomes")["All"] == 450
    assert len(done.stdout) < 400_000


def test_prices_are_asked_for_of_models_alone(tmp_path: Path) -> None:
    """What cannot be a model's name is asked for nowhere, and of many models only the first few."""
    models = ["m1", "m1", "", "two\x00words", "\ud800", *(f"x{n}" for n in range(50))]
    path = written(tmp_path / "out.jsonl", *(answer("a", "yes", model=one) for one in models))
    asked: list[str] = []
    facts = facts_of(path, price_of=asked.append)
    assert (asked[0], len(facts.spending)) == ("m1", 54)
    assert len(asked) < 12 and all(one.isalnum() for one in asked)


def test_gold_labels_come_from_a_table(tmp_path: Path) -> None:
    """By key, in any order; precision, recall and F1 are those of the textbook."""
    given = ["spam", "spam", "spam", "ham", "ham", "HAM ", "spam", "ham"]
    gold = ["spam", "spam", "ham", "ham", "ham", "ham", "ham", "spam"]
    path = written(
        tmp_path / "out.jsonl",
        *(answer(f"a{number}", text) for number, text in enumerate(given)),
        {"custom_id": "lost", "response": None, "error": {"code": "x", "message": "y"}},
    )
    table = tmp_path / "mails.csv"
    rows = [*enumerate(gold)][::-1]
    table.write_text("id,right\n" + "".join(f"a{n},{one}\n" for n, one in rows) + "lost,spam\n")
    page = reported(path, "--rows", table, "--key", "id", "--gold", "right")
    scores = {row[0]: row[1:] for row in page.rows["agreement"] if len(row) == 6}
    # Of 4 given as spam 2 are; of 4 that are spam, one of which was lost, 2 were given so.
    assert scores["spam"] == ["0.500", "0.500", "0.500", "4", "4"]
    assert scores["ham"] == ["0.750", "0.600", "0.667", "5", "4"]
    assert "5 of 9 results have the gold label in the whole answer" in page.text


def test_labels_are_told_from_other_texts(tmp_path: Path) -> None:
    """The same few short texts are labels; texts that are all different are not."""
    few = written(
        tmp_path / "few.jsonl", *(answer(f"{n}", "yes" if n % 3 else "no") for n in range(30))
    )
    assert reported(few).numbers("labels") == {"yes": 20, "no": 10}
    many = written(tmp_path / "many.jsonl", *(answer(f"{n}", f"Text {n}.") for n in range(30)))
    assert "labels" not in reported(many).rows


def test_latency_is_what_servers_say(tmp_path: Path) -> None:
    """Where answers tell how long they took, the page tells it; else it says that they do not."""
    path = written(
        tmp_path / "out.jsonl",
        *(answer(f"{n}", "ok", usage={"total_time": n / 10}) for n in range(1, 102)),
    )
    assert "half are at most 5.1 s, 90 % at most 9.1 s" in reported(path).text
    plain = written(tmp_path / "plain.jsonl", answer("a", "ok"))
    assert "do not tell how long" in reported(plain).text


def test_batches_tell_the_time_where_answers_do_not(strict: Strict, tmp_path: Path) -> None:
    """Vectors have no time of their own; the plots say that they are of batches."""
    lines = [
        {"custom_id": f"e{n}", "url": "/v1/embeddings", "body": {"model": "m1", "input": f"{n}"}}
        for n in range(5)
    ]
    pages = []
    for most in (2, 5):
        sizes = Sizes(requests=most, bytes=10**6, embedding_inputs=100)
        settings = Settings(base_url=strict.server.url, sizes=sizes, poll_seconds=0.05)
        campaign = Campaign.prepare(tmp_path / f"c{most}", lines, settings, "key")
        campaign.run()
        chunks = campaign.standing().chunks
        assert all(0 < one.created_at <= one.ended_at for one in chunks)
        pages.append(reported(campaign.folder))
    several, one = pages
    assert "Requests a second of each batch, while it was at the server" in several.text
    assert "Time from a batch's submission to its end" in several.text
    assert "3 batches, in the order of their submission" in several.text
    assert "do not tell how long each of them took" in several.text
    assert "5 requests in" in one.text
    assert "one batch, 000000" in one.text


def test_words_that_make_no_sense_are_refused(tmp_path: Path) -> None:
    """A field, column or table that is not there is a wrong use, and is named."""
    path = written(tmp_path / "out.jsonl", answer("a", '{"kind": "x"}'))
    table = tmp_path / "t.csv"
    table.write_text("id,right\na,x\n")

    def refused(*words: object) -> Result:
        done = call("report", path, "-o", tmp_path / "r.html", *words)
        assert done.exit_code == 2
        return done

    assert "'kind'" in refused("--gold", "right", "--rows", table, "--label", "sort").stderr
    assert "but id, right" in refused("--gold", "wrong", "--rows", table).stderr
    assert "name the table" in refused("--gold", "right").stderr
    assert not (tmp_path / "r.html").exists()


def test_numbers_come_as_json_too(tmp_path: Path) -> None:
    """`--json` writes the same facts as one object, and no file."""
    path = written(tmp_path / "out.jsonl", answer("a", "yes"), answer("b", "no"))
    facts = json.loads(call("report", path, "--json").stdout)
    assert facts["outcomes"]["succeeded"] == facts["requests"] == 2
    assert facts["fields"][0]["counts"] == {"no": 1, "yes": 1}
    assert sum(one["input_tokens"] for one in facts["spending"]) == 20


def odd(chance: Random, depth: int) -> Any:
    """Any JSON, under names that mean something to readers of results."""
    names = "response body error choices message content usage created results custom_id outcome"
    plain = [
        None,
        True,
        0,
        -3.5,
        10**30,
        "",
        "x",
        "\ud800",
        HOSTILE,
        '{"a": {"b": [1, "c"]}}',
        "[1]",
    ]
    if depth == 0 or chance.random() < 0.4:
        return chance.choice(plain)
    if chance.random() < 0.3:
        return [odd(chance, depth - 1) for _ in range(3)]
    return {chance.choice(names.split()): odd(chance, depth - 1) for _ in range(4)}


@pytest.mark.parametrize("seed", range(12))
def test_whatever_servers_write_makes_a_page(tmp_path: Path, seed: int) -> None:
    """Every line is counted once, or told to be unreadable; nothing of it is markup."""
    chance, lines = Random(seed), []
    for number in range(40):
        told = answer(f"a{number}", "yes")
        for _ in range(chance.randrange(3)):
            place = chance.choice([told, told["response"], told["response"]["body"]])
            place[
                chance.choice(["custom_id", "error", "usage", "choices", "created", "outcome"])
            ] = odd(chance, 3)
        lines.append(json.dumps(told if number % 8 else odd(chance, 4)).encode())
    path = tmp_path / "out.jsonl"
    path.write_bytes(b"\n".join([*lines, b"\xff{", b""]))
    page = reported(path)
    unread = re.search(r"([0-9]+) lines could not be read", page.text)
    assert unread is not None
    assert page.numbers("outcomes")["All"] + int(unread[1]) == 41
    assert not {name for name, _ in page.tags} & {"script", "img"}
