"""`batchyard run` where it cannot begin: one sentence, and nothing is asked or written."""

import bz2
import gzip
import lzma
from collections.abc import Callable
from pathlib import Path

import pytest

from tests.acceptance.processes import request_lines
from tests.cli.calling import call

LINES = request_lines(3)
# Nobody listens there: a run that went on would wait for it.
NOBODY = "http://127.0.0.1:9/v1"


def a_file_as_folder(folder: Path) -> list[str]:
    (folder / "file").write_bytes(b"")
    return ["-o", "file/out.jsonl"]


def a_file_as_folder_of_errors(folder: Path) -> list[str]:
    (folder / "file").write_bytes(b"")
    return ["-o", "out.jsonl", "--errors", "file/more/errors.jsonl"]


def the_input_by_another_name(folder: Path) -> list[str]:
    (folder / "same.jsonl").hardlink_to(folder / "in.jsonl")
    return ["-o", "same.jsonl"]


def a_finished_error_file(folder: Path) -> list[str]:
    (folder / "out.errors.jsonl").write_bytes(b"precious\n")
    return ["-o", "out.jsonl"]


def a_damaged_state(folder: Path) -> list[str]:
    (folder / "out.jsonl.state").write_bytes(b"{")
    (folder / "out.jsonl.partial").write_bytes(b"{}\n")
    return ["-o", "out.jsonl"]


@pytest.mark.parametrize(
    ("code", "said", "make"),
    [
        (1, "file/out.jsonl cannot be written: file is no folder", a_file_as_folder),
        (
            1,
            "file/more/errors.jsonl cannot be written: file/more is no folder",
            a_file_as_folder_of_errors,
        ),
        (1, "No such file or directory", lambda _: ["-o", "/proc/out.jsonl"]),
        (1, "File name too long", lambda _: ["-o", "n" * 250 + ".jsonl"]),
        (2, "-o in.jsonl is the input itself", lambda _: ["-o", "./in.jsonl"]),
        (2, "-o same.jsonl is the input itself", the_input_by_another_name),
        (
            2,
            "--errors in.jsonl is the input itself",
            lambda _: ["-o", "out.jsonl", "--errors", "in.jsonl"],
        ),
        (
            2,
            "cannot both go to out.jsonl",
            lambda _: ["-o", "out.jsonl", "--errors", "./out.jsonl"],
        ),
        (1, "out.errors.jsonl exists already; nothing was asked", a_finished_error_file),
        (1, "out.jsonl.state is damaged", a_damaged_state),
        *(
            (2, "write seconds, or a time up to 30d", lambda _, text=text: ["--timeout", text])
            for text in ("0", "-5", "soon", "inf", "nan", "5w", "31d")
        ),
        (2, "do not go with --to", lambda _: ["--to", "mine", "--timeout", "5"]),
    ],
)
def test_what_cannot_begin_says_why(
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    code: int,
    said: str,
    make: Callable[[Path], list[str]],
) -> None:
    """A sentence with the place and what to do, no traceback, and the input is as it was."""
    monkeypatch.chdir(tmp_path)
    Path("in.jsonl").write_bytes(LINES)
    words = make(tmp_path)
    before = {path: path.read_bytes() for path in tmp_path.iterdir()}
    done = call("run", "in.jsonl", "--upstream", NOBODY, *words)
    assert code == done.exit_code, done.stderr
    assert said in done.stderr
    assert before == {path: path.read_bytes() for path in tmp_path.iterdir()}


@pytest.mark.parametrize(
    ("name", "content", "said"),
    [
        (
            "in.jsonl.gz",
            gzip.compress(LINES, mtime=0),
            "gzip. To answer the requests in it: gunzip -c",
        ),
        ("in.jsonl", gzip.compress(LINES, mtime=0), "compressed with gzip"),
        ("in.jsonl.bz2", bz2.compress(LINES), "compressed with bzip2"),
        ("in.jsonl.xz", lzma.compress(LINES), "compressed with xz"),
        ("in.csv.gz", gzip.compress(b"id,text\n1,a\n", mtime=0), "in.csv.gz is a table"),
    ],
)
def test_a_compressed_input_is_told(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, name: str, content: bytes, said: str
) -> None:
    """Not a table, not thousands of lines that are no JSON."""
    monkeypatch.chdir(tmp_path)
    Path(name).write_bytes(content)
    done = call("run", name, "-o", "out.jsonl", "--upstream", NOBODY)
    assert done.exit_code == 2
    assert said in done.stderr


@pytest.mark.parametrize("name", ["/dev/null", "."])
def test_what_is_no_file_is_told(tmp_path: Path, name: str) -> None:
    """A pipe, a device or a folder cannot be read a second time."""
    done = call("run", name, "-o", tmp_path / "out.jsonl", "--upstream", NOBODY)
    assert done.exit_code == 1
    assert f"{name} is no file that can be read twice" in done.stderr
