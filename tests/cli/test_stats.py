"""`batchyard stats` as it is called."""

import json
from pathlib import Path
from typing import Any

from tests.cli.calling import call
from tests.client.lines import EMBEDDINGS, answer_line, fault_line, line


def told(path: Path, *lines: str) -> dict[str, Any]:
    """What `--json` says of a file with these lines."""
    path.write_text("".join(lines))
    done = call("stats", path, "--json")
    shown: dict[str, Any] = json.loads(done.stdout)
    assert done.exit_code == 0
    return shown


def test_requests_are_counted(tmp_path: Path) -> None:
    """Endpoints, models, sizes, tokens; what cannot be read is told apart."""
    lines = [line(f"{n}", model="m1", user="u" * n * 4) for n in range(100)]
    lines.append(line("e", EMBEDDINGS, model="m2"))
    shown = told(tmp_path / "in.jsonl", *lines, "oops\n")
    stats = shown["stats"]
    assert (shown["kind"], stats["requests"], stats["unreadable"]) == ("requests", 101, 1)
    assert stats["endpoints"] == {"/v1/chat/completions": 100, "/v1/embeddings": 1}
    assert stats["models"] == {"m1": 100, "m2": 1}
    tokens = stats["input_tokens"]
    assert tokens["most"] - tokens["p90"] == 10
    assert tokens["sum"] == sum(len(json.dumps(json.loads(one)["body"])) // 4 for one in lines)
    assert stats["line_bytes"]["least"] == len("oops")


def test_what_is_asked_twice_is_told(tmp_path: Path) -> None:
    """Prompts that come again, whether or not all of the request does; and ids."""
    asked = [{"role": "user", "content": "again"}]
    stats = told(
        tmp_path / "in.jsonl",
        *[line(f"{n}", messages=asked, seed=n // 2) for n in range(4)],
        line("a"),
        line("a"),
    )["stats"]
    assert (stats["repeated_prompts"], stats["repeated_requests"]) == (4, 3)
    assert stats["repeated_custom_ids"] == 1
    assert stats["repeats"] == [{"line": 2, "times": 3}, {"line": 6, "times": 1}]


def test_results_are_counted(tmp_path: Path) -> None:
    """Outcomes, codes, models, tokens, and labels."""
    shown = told(
        tmp_path / "out.jsonl",
        *[answer_line(f"{n}", "yes" if n else "no", usage=(10, n)) for n in range(4)],
        fault_line("f", "rate_limit_exceeded", 429),
        fault_line("g", "batch_expired"),
    )
    stats = shown["stats"]
    assert shown["kind"] == "results"
    assert stats["outcomes"] == {"succeeded": 4, "errored": 1, "expired": 1}
    assert stats["codes"] == {"rate_limit_exceeded": 1, "batch_expired": 1}
    assert stats["labels"] == {"yes": 3, "no": 1}
    assert (stats["input_tokens"]["sum"], stats["output_tokens"]["most"]) == (40, 3)


def test_long_answers_are_no_labels(tmp_path: Path) -> None:
    """One answer that is a text, and none is listed."""
    long = [answer_line("b", "x" * 61), answer_line("c", "yes")]
    stats = told(tmp_path / "out.jsonl", answer_line("a", "yes"), *long)["stats"]
    assert stats["labels"] == {}


def test_people_get_a_table(tmp_path: Path) -> None:
    """The same as text on stdout, the method on stderr."""
    path = tmp_path / "in.jsonl"
    path.write_text(line("a") + line("b"))
    done = call("stats", path)
    assert "requests        2\n" in done.stdout
    assert "model           gpt-4o-mini: 2 (100.0%)\n" in done.stdout
    assert "asked again     prompts: 1, whole requests: 1, custom_ids: 0\n" in done.stdout
    assert "once more: the prompt of line 2\n" in done.stdout
    assert "4 bytes" in done.stderr


def test_an_empty_file_has_nothing(tmp_path: Path) -> None:
    """No line is no fault here."""
    assert told(tmp_path / "in.jsonl")["stats"]["requests"] == 0
