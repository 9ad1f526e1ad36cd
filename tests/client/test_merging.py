"""Merges hold little in memory, and bring what one that holds everything would."""

import json
import tracemalloc
from pathlib import Path
from random import Random
from typing import Any

import msgspec
import pytest

from batchyard.client.campaigns.cutting import InputError, Sizes, count_requests, cut, write_chunks
from batchyard.client.campaigns.intents import Chunk
from batchyard.client.campaigns.merging import CountsError, Ledger
from batchyard.client.examining import reading
from batchyard.client.examining.reading import placed_lines
from batchyard.client.results import attempts, uniting
from batchyard.client.results.conforming import fault_of, shape_of
from batchyard.client.results.outcomes import OUTCOMES, read_found
from batchyard.client.results.results import Tried, read_results
from batchyard.places import bins
from tests.client.lines import answer_line, fault_line, line

FIRST_SUCCESS = {(one, "succeeded") for one in OUTCOMES if one != "succeeded"}
JSON: dict[str, Any] = {"response_format": {"type": "json_object"}}


@pytest.fixture(autouse=True)
def _small(monkeypatch: pytest.MonkeyPatch) -> None:
    """What is held at a time is so little that a few dozen lines need many turns."""
    monkeypatch.setattr(attempts, "_TOGETHER", 5)
    monkeypatch.setattr("batchyard.client.campaigns.merging._TOGETHER", 7)
    monkeypatch.setattr(uniting, "_PART_BYTES", 2_000)
    monkeypatch.setattr(bins, "_HELD_BYTES", 300)


@pytest.mark.parametrize("seed", range(24))
def test_files_become_one(seed: int, tmp_path: Path) -> None:
    """Repeated, missing and unknown lines, faults, cut-off answers, several files, any order."""
    chance = Random(seed)
    ids = [f"r{number}" for number in range(chance.choice((1, 12, 60)))]
    (tmp_path / "in.jsonl").write_text("".join(map(line, ids)))
    paths = [tmp_path / f"{number}.jsonl" for number in range(chance.randint(1, 4))]
    for path in paths:
        path.write_text("".join(lines_for([*ids, "stranger"], chance)))
    for asked in (tmp_path / "in.jsonl", None):
        with (tmp_path / "out.jsonl").open("wb") as out:
            told = uniting.unite(out, paths, asked, accept_cut_off=False, beside=tmp_path)
        lines, duplicates, strangers = oracle(paths, ids if asked else None)
        assert (tmp_path / "out.jsonl").read_text() == lines
        assert (told.duplicates, told.strangers) == (duplicates, strangers)
        assert told.requests == sum(told.outcomes.values()) == lines.count("\n")
    assert not list(tmp_path.glob("tmp*"))


@pytest.mark.parametrize("seed", range(12))
def test_a_campaign_becomes_one(seed: int, tmp_path: Path) -> None:
    """Rounds that ask again, batches of several models and of every end, in one order."""
    chance = Random(seed)
    count = chance.choice((1, 12, 60))
    text = [
        line(f"r{number}", model=chance.choice("ab"), **(JSON if chance.random() < 0.5 else {}))
        for number in range(count)
    ]
    (tmp_path / "input.jsonl").write_text("".join(text))
    for part in ("chunks", "raw"):
        (tmp_path / part).mkdir()
    ledger = Ledger(tmp_path, count, accept_cut_off=False)
    asked: list[tuple[int, bytes]] = [(at, one.encode()) for at, one in enumerate(text)]
    every: list[Chunk] = []
    for round in (1, 2, 3):
        sizes = Sizes(requests=chance.choice((4, 20)), bytes=1 << 20, embedding_inputs=9)
        chunks = write_chunks(cut(asked, sizes, tmp_path / "chunks", len(every)), round, list)
        every += chunks
        for chunk in chance.sample(chunks, len(chunks)):
            collect(tmp_path, chunk, chance)
            ledger.add(chunk)
        final = {one.line for chunk in chunks for one in ledger.final(chunk)}
        asked = [(number, line) for number, line, _ in ledger.again(3 - round)]
        again = {number + 1 for number, _ in asked}
        assert not again & final
    counts = ledger.write(tmp_path / "results.jsonl")
    assert sum(counts.values()) == count
    assert (tmp_path / "results.jsonl").read_text() == campaign_oracle(tmp_path, every, text)
    # Whoever was killed reads everything anew.
    anew = Ledger(tmp_path, count, accept_cut_off=False)
    for chunk in every:
        anew.add(chunk)
    assert anew.write(tmp_path / "anew.jsonl") == counts
    assert (tmp_path / "anew.jsonl").read_bytes() == (tmp_path / "results.jsonl").read_bytes()
    assert (anew.duplicates, anew.strangers) == (ledger.duplicates, ledger.strangers)
    ledger.close()
    anew.close()


def test_what_does_not_fit_its_input_is_no_result(tmp_path: Path) -> None:
    """Where chunks and input name other requests, it raises, and leaves nothing."""
    (tmp_path / "input.jsonl").write_text(line("a") + line("b"))
    for part in ("chunks", "raw"):
        (tmp_path / part).mkdir()
    asked = enumerate([line("a").encode(), line("c").encode()])
    sizes = Sizes(requests=9, bytes=999, embedding_inputs=9)
    (chunk,) = write_chunks(cut(asked, sizes, tmp_path / "chunks", 0), 1, list)
    ledger = Ledger(tmp_path, 2, accept_cut_off=False)
    ledger.add(chunk)
    with pytest.raises(CountsError, match="Input 2 has not exactly one outcome"):
        ledger.write(tmp_path / "results.jsonl")
    assert sorted(one.name for one in tmp_path.iterdir()) == ["chunks", "input.jsonl", "raw"]


@pytest.mark.parametrize("count", [1, 2, 50])
def test_an_input_is_counted(count: int, tmp_path: Path) -> None:
    """And refused where its requests cannot be told apart, with the first two that are alike."""
    path = tmp_path / "in.jsonl"
    path.write_text("".join(line(f"r{number}") for number in range(count)))
    assert count_requests(path) == count
    with path.open("a") as more:
        more.write(line("r0") + line(f"r{count - 1}") + "oops\n")
    with pytest.raises(InputError, match=f"Requests 1 and {count + 1} both have the id 'r0'"):
        count_requests(path)


def test_an_input_that_cannot_be_read_is_refused(tmp_path: Path) -> None:
    """By the first line of which that is so."""
    path = tmp_path / "in.jsonl"
    path.write_text(line("a") + "\n" + "oops\n" + line("a"))
    with pytest.raises(InputError, match="Request 2 cannot be read"):
        count_requests(path)
    path.write_text("\n")
    with pytest.raises(InputError, match="no requests"):
        count_requests(path)


def test_what_a_merged_line_tells_is_kept(tmp_path: Path) -> None:
    """A campaign's results, merged with those of its retry: all attempts with their batches."""
    paths = [tmp_path / name for name in ("old.jsonl", "new.jsonl")]
    for path, batches in zip(paths, (("b1", "b2"), ("b3",)), strict=True):
        fault = {"custom_id": "a", "response": None, "error": {"code": "x", "message": "y"}}
        tried = [{"batch_id": one, "outcome": "errored", "code": one} for one in batches]
        path.write_text(json.dumps(fault | {"line": 7, "outcome": "errored", "attempts": tried}))
    with (tmp_path / "out.jsonl").open("wb") as out:
        uniting.unite(out, paths, None, accept_cut_off=False)
    (told,) = read_results(tmp_path / "out.jsonl")
    assert (told.line, told.code) == (1, "b3")
    assert [(one.batch_id, one.code) for one in told.attempts] == [
        ("b1", "b1"),
        ("b2", "b2"),
        ("b3", "b3"),
    ]


def test_a_file_that_comes_twice_counts_once(tmp_path: Path) -> None:
    """A copy of what a provider wrote is no further attempt, and is counted."""
    path, copy = tmp_path / "1.jsonl", tmp_path / "2.jsonl"
    path.write_text(answer_line("a", "x") + fault_line("b", "x", 429))
    copy.write_text(path.read_text().strip())
    with (tmp_path / "out.jsonl").open("wb") as out:
        told = uniting.unite(out, [path, copy], None, accept_cut_off=False)
    assert (told.requests, told.duplicates) == (2, 2)
    assert [len(one.attempts) for one in read_results(tmp_path / "out.jsonl")] == [1, 1]


def test_what_is_held_does_not_grow_with_the_results(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Of files, and of a campaign, ten times as many results take about the same memory."""
    monkeypatch.setattr(attempts, "_TOGETHER", 200)
    monkeypatch.setattr(reading, "_CHUNK_BYTES", 1 << 14)
    monkeypatch.setattr(uniting, "_PART_BYTES", 50_000)
    monkeypatch.setattr(bins, "_HELD_BYTES", 20_000)
    few, many = (held(tmp_path / str(count), count) for count in (300, 3_000))
    assert many < 2 * few


def held(folder: Path, count: int) -> int:
    """The most bytes of Python objects that merges of so many results have held."""
    for part in ("chunks", "raw"):
        (folder / part).mkdir(parents=True)
    source, answers = folder / "input.jsonl", folder / "all.jsonl"
    source.write_text("".join(line(f"r{number}") for number in range(count)))
    answers.write_text("".join(answer_line(f"r{number}", "x") for number in range(count)))
    sizes = Sizes(requests=250, bytes=1 << 20, embedding_inputs=9)
    tracemalloc.start()
    try:
        assert count_requests(source) == count
        asked = ((number, text) for number, (_, text) in enumerate(placed_lines(source)))
        ledger = Ledger(folder, count, accept_cut_off=False)
        for chunk in write_chunks(cut(asked, sizes, folder / "chunks", 0), 1, list):
            chunk.status = "completed"
            ids = [json.loads(one)["custom_id"] for one in lines_of(folder / "chunks", chunk.name)]
            text = "".join(answer_line(one, "x") for one in ids)
            (folder / "raw" / f"{chunk.name}.output.jsonl").write_text(text)
            ledger.add(chunk)
        assert ledger.write(folder / "results.jsonl")["succeeded"] == count
        ledger.close()
        with (folder / "out.jsonl").open("wb") as out:
            told = uniting.unite(out, [answers], source, accept_cut_off=False, beside=folder)
        assert told.outcomes["succeeded"] == count
        return tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()


def test_what_is_no_unicode_is_merged(tmp_path: Path) -> None:
    """Half of a pair of surrogates, in an id, in an answer, and in what is wrong with it."""
    path = tmp_path / "1.jsonl"
    fault = {"custom_id": "\ud800", "response": None, "error": {"code": "\udfff"}}
    path.write_text(answer_line("a", "\ud800") + json.dumps(fault))
    with (tmp_path / "out.jsonl").open("wb") as out:
        uniting.unite(out, [path], None, accept_cut_off=False)
    answer, other = read_results(tmp_path / "out.jsonl")
    assert (answer.text, other.custom_id, other.code) == ("\ud800", "\ud800", "\udfff")


def lines_for(ids: list[str], chance: Random) -> list[str]:
    """Result lines for some of these requests, some of them several, in any order."""
    lines = ["oops\n", line("r0"), '{"custom_id":"r1","response":null,"error":null}\n']
    for id in ids:
        kinds = chance.choices(("answer", "object", "cut", "fault", "expired"), k=3)
        for kind in kinds[: chance.choice((0, 1, 1, 1, 2, 3))]:
            text = {"answer": "hello", "object": "{}", "cut": "hel"}.get(kind)
            if text is None:
                status = chance.choice((400, 429)) if kind == "fault" else None
                lines.append(fault_line(id, "batch_expired" if status is None else "x", status))
            else:
                whole = answer_line(id, text)
                lines.append(whole.replace('"stop"', '"length"') if kind == "cut" else whole)
    chance.shuffle(lines)
    return lines


def collect(folder: Path, chunk: Chunk, chance: Random) -> None:
    """A batch has ended somehow, and left what it may leave."""
    chunk.batch_id = f"batch_{chunk.number}"
    chunk.status = chance.choice(("completed", "completed", "expired", "cancelled", "failed"))
    ids = [json.loads(one)["custom_id"] for one in lines_of(folder / "chunks", chunk.name)]
    lines = lines_for([*ids, "stranger"], chance)
    middle = chance.randrange(len(lines))
    for kind, part in (("output", lines[:middle]), ("errors", lines[middle:])):
        if part:
            (folder / "raw" / f"{chunk.name}.{kind}.jsonl").write_text("".join(part))


def lines_of(folder: Path, name: str) -> list[str]:
    """The lines of a file, if there is one."""
    path = folder / f"{name}.jsonl"
    return path.read_text().splitlines(keepends=True) if path.exists() else []


# How a request ended in one place, and what its line says of it.
Try = tuple[Tried, Any]


def oracle(paths: list[Path], ids: list[str] | None) -> tuple[str, int, int]:
    """The lines of a merge, repeated lines, and those of nobody; all in memory."""
    tries: dict[str, list[Try]] = {one: [] for one in ids or ()}
    duplicates = strangers = 0
    seen: set[str] = set()
    for path in paths:
        # Lines that stand in a file before are told once.
        again = [one for one in path.read_text().splitlines() if one in seen]
        lines = [one for one in path.read_text().splitlines() if one not in seen]
        known = None if ids is None else set(ids)
        here, repeated, others = heard(lines, known, {}, None)
        _, _, odd = heard(again, known, {}, None)
        seen |= set(lines)
        duplicates += repeated + len(again) - odd
        strangers += others + odd
        for id, one in here.items():
            tries.setdefault(id, []).append(one)
    missing = Tried(None, "missing", "missing", "No file has it."), None
    told = enumerate(tries.items(), 1)
    lines = [shown(number, id, some or [missing]) for number, (id, some) in told]
    return "".join(lines), duplicates, strangers


def campaign_oracle(folder: Path, chunks: list[Chunk], asked: list[str]) -> str:
    """The lines of a campaign's results, all in memory."""
    bodies = {json.loads(one)["custom_id"]: json.loads(one)["body"] for one in asked}
    tries: dict[str, list[Try]] = {one: [] for one in bodies}
    ends = {"completed": "missing", "failed": "errored"}
    for chunk in chunks:
        ids = [json.loads(one)["custom_id"] for one in lines_of(folder / "chunks", chunk.name)]
        lines = [
            one
            for kind in ("output", "errors")
            for one in lines_of(folder / "raw", f"{chunk.name}.{kind}")
        ]
        here, _, _ = heard(lines, set(ids), bodies, chunk.batch_id)
        end: Any = ends.get(chunk.status, chunk.status)
        code = "missing" if end == "missing" else f"batch_{chunk.status}"
        for id in ids:
            tries[id].append(here.get(id, (Tried(chunk.batch_id, end, code), None)))
    return "".join(shown(number, *one) for number, one in enumerate(tries.items(), 1))


def heard(
    lines: list[str], ids: set[str] | None, bodies: dict[str, Any], batch_id: str | None
) -> tuple[dict[str, Try], int, int]:
    """Of each request the first line that names it, or the first that succeeded."""
    here: dict[str, Try] = {}
    duplicates = strangers = 0

    def judge(id: str, text: str) -> tuple[str, str] | None:
        shape = shape_of(json.dumps(bodies.get(id, {})).encode())
        fault = None if shape is None else fault_of(shape, text)
        return None if fault is None else ("invalid_json", fault)

    for text in lines:
        found = read_found(text.encode(), judge, accept_cut_off=False)
        if found is None or (ids is not None and found.custom_id not in ids):
            strangers += 1
            continue
        before = here.get(found.custom_id)
        duplicates += before is not None
        if before is None or (before[0].outcome, found.outcome) in FIRST_SUCCESS:
            tried = Tried(batch_id, found.outcome, found.code, found.message)
            here[found.custom_id] = tried, json.loads(text)
    return here, duplicates, strangers


def shown(number: int, id: str, tries: list[Try]) -> str:
    """One line of results: the first success counts, else the last; it stands behind the others."""
    best = next((one for one in tries if one[0].outcome == "succeeded"), tries[-1])
    tried = [one[0] for one in tries if one is not best] + [best[0]]
    error = json.dumps({"code": best[0].code, "message": best[0].message}, separators=(",", ":"))
    response = "null"
    if best[1] is not None:
        response, error = json.dumps(best[1]["response"]), json.dumps(best[1]["error"])
    attempts = msgspec.json.encode(tried).decode()
    return (
        f'{{"line":{number},"custom_id":"{id}","outcome":"{best[0].outcome}",'
        f'"response":{response},"error":{error},"attempts":{attempts}}}\n'
    )
