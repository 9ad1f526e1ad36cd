"""A one-shot run whose files somebody else changes, while it runs and between two runs."""

import os
from collections import Counter
from collections.abc import Callable
from pathlib import Path

import pytest

from batchyard.flow.once import InputError
from batchyard.flow.outputs import OutputsError
from tests.acceptance.processes import request_lines
from tests.flow.one_shot import check, run

# Three shards: 500, 500 and 200 lines.
LINES = 1_200
INPUT = request_lines(LINES)
OTHER = INPUT.replace(b"line", b"LINE")


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """Where outputs go; the input lies beside it."""
    (tmp_path / "in.jsonl").write_bytes(INPUT)
    (tmp_path / "outputs").mkdir()
    return tmp_path / "outputs"


def run_and_change(folder: Path, change: Callable[[], object], asked: Counter[str]) -> None:
    """A run during which something else happens once some lines are answered and recorded."""

    def on_answer() -> None:
        if asked.total() == 100:
            change()

    run(folder, asked, on_answer)


def truncate(source: Path) -> None:
    """Cut in the middle of a line."""
    os.truncate(source, len(INPUT) // 2 + 7)


def rewrite(source: Path) -> None:
    """Write other lines of the same length in its place."""
    with source.open("r+b") as file:
        file.write(OTHER)


def change_one_byte(source: Path) -> None:
    """Change one byte of the last line, and leave its time as it was."""
    before = source.stat()
    with source.open("r+b") as file:
        file.seek(-20, os.SEEK_END)
        file.write(b"X")
    os.utime(source, ns=(before.st_atime_ns, before.st_mtime_ns))


@pytest.mark.parametrize("change", [truncate, rewrite, change_one_byte])
def test_an_input_that_is_changed_in_place_ends_the_run(
    folder: Path, change: Callable[[Path], None]
) -> None:
    """It says from which request on, keeps what was answered, and goes on with the old content."""
    source, asked = folder.parent / "in.jsonl", Counter[str]()
    with pytest.raises(InputError, match=r"in\.jsonl was changed .*: requests [0-9,]+ to [0-9,]+"):
        run_and_change(folder, lambda: change(source), asked)
    kept = (folder / "out.jsonl.partial").read_bytes() + (
        folder / "out.errors.jsonl.partial"
    ).read_bytes()
    assert kept.count(b"\n") == asked.total()
    assert 500 <= asked.total() < LINES
    source.write_bytes(INPUT)
    run(folder, asked)
    check(folder, LINES)
    assert set(asked.values()) == {1}


@pytest.mark.parametrize("change", ["appended", "removed", "replaced"])
def test_what_does_not_change_the_lines_of_a_run_does_not_end_it(folder: Path, change: str) -> None:
    """The lines that were there at the start are answered, and no others."""
    source = folder.parent / "in.jsonl"

    def happen() -> None:
        if change == "appended":
            with source.open("ab") as file:
                file.write(OTHER)
        elif change == "removed":
            source.unlink()
        else:
            other = source.with_name("other")
            other.write_bytes(OTHER)
            other.replace(source)

    run_and_change(folder, happen, Counter())
    check(folder, LINES)


@pytest.mark.parametrize("gone", ["out.jsonl.partial", "out.errors.jsonl.partial"])
@pytest.mark.parametrize("change", ["removed", "emptied", "replaced", "written to"])
def test_partial_files_that_others_touch_end_the_run(folder: Path, gone: str, change: str) -> None:
    """It stops before it writes to a file that nobody will find, and says which."""
    path = folder / gone

    def happen() -> None:
        if change == "removed":
            path.unlink()
        elif change == "emptied":
            os.truncate(path, 0)
        elif change == "replaced":
            other = path.with_name("other")
            other.write_bytes(path.read_bytes())
            other.replace(path)
        else:
            with path.open("ab") as file:
                file.write(b"foreign\n")

    asked: Counter[str] = Counter()
    with pytest.raises(OutputsError, match=f"{gone} was removed or changed"):
        run_and_change(folder, happen, asked)
    run(folder, asked)
    check(folder, LINES)


def test_a_state_that_is_gone_ends_the_run(folder: Path) -> None:
    """Another run could have begun on the same outputs."""
    with pytest.raises(OutputsError, match=r"out\.jsonl\.state was removed"):
        run_and_change(folder, (folder / "out.jsonl.state").unlink, Counter())


def test_an_output_that_others_made_meanwhile_is_kept(folder: Path) -> None:
    """Nothing is written over; once it is out of the way, nothing is asked anew."""
    asked: Counter[str] = Counter()
    output = folder / "out.jsonl"
    for _ in range(2):
        with pytest.raises(OutputsError, match=r"out\.jsonl"):
            run_and_change(folder, lambda: output.write_bytes(b"precious\n"), asked)
        assert output.read_bytes() == b"precious\n"
    output.unlink()
    run(folder, asked)
    check(folder, LINES)
    assert set(asked.values()) == {1}


def interrupted(folder: Path, asked: Counter[str]) -> bytes:
    """Leave a run in its middle; returns its partial output."""
    source = folder.parent / "in.jsonl"
    with pytest.raises(InputError):
        run_and_change(folder, lambda: rewrite(source), asked)
    source.write_bytes(INPUT)
    return (folder / "out.jsonl.partial").read_bytes()


@pytest.mark.parametrize(
    ("name", "make", "surplus", "damaged"),
    [
        ("a line twice", lambda text: text + text.splitlines(keepends=True)[3], 1, 0),
        ("all lines twice", lambda text: text + text, 333, 0),
        ("half a line at the end", lambda text: text[:-7], 0, 0),
        ("zeros at the end", lambda text: text + bytes(4_096), 0, 0),
        ("zeros and a line", lambda text: text + bytes(99) + b"\n" + text[:0], 0, 1),
        ("a byte of a line", lambda text: text.replace(b'"response"', b'"resp\x00nse"', 1), 0, 1),
        ("no JSON", lambda text: b"oops\n" + text, 0, 1),
        ("another shape", lambda text: b'{"id":5}\n[]\n{"custom_id":"c"}\n' + text, 0, 3),
        ("a deep line", lambda text: text + b"[" * 90_000 + b"\n", 0, 1),
    ],
)
def test_damaged_results_are_taken_out_and_asked_again(
    folder: Path, name: str, make: Callable[[bytes], bytes], surplus: int, damaged: int
) -> None:
    """Whatever a crash or an older run has left: each line stands once in the final files."""
    asked: Counter[str] = Counter()
    text = interrupted(folder, asked)
    (folder / "out.jsonl.partial").write_bytes(make(text))
    found = run(folder, asked)
    assert (surplus, damaged) == (found.surplus, found.damaged), name
    check(folder, LINES)


def test_a_line_with_two_results_keeps_its_answer(folder: Path) -> None:
    """One that stands in both files has succeeded."""
    asked: Counter[str] = Counter()
    text = interrupted(folder, asked)
    answered = text.splitlines(keepends=True)[0]
    twin = answered.replace(b'"status_code":200', b'"status_code":500')
    errors = folder / "out.errors.jsonl.partial"
    errors.write_bytes(twin + errors.read_bytes())
    assert run(folder, asked).surplus == 1
    check(folder, LINES)


@pytest.mark.parametrize(
    ("name", "content", "said"),
    [
        ("out.jsonl.state", b'{"input_sha256":', "out.jsonl.state is damaged"),
        ("out.jsonl.state", b"", "out.jsonl.state is damaged"),
        ("out.jsonl.state", b'{"input_sha256":5}', "out.jsonl.state is damaged"),
        ("out.jsonl.partial", b'{"id":"batch_req_zz","custom_id":"x","response":null}\n', ":1: "),
        (
            "out.jsonl.partial",
            b'{"id":"batch_req_%b00000001","custom_id":"x","response":null}\n' % (b"0" * 24),
            "out.jsonl.partial:1: this line is no result of this run",
        ),
        ("in.jsonl", OTHER, "was begun for another input"),
    ],
)
def test_what_belongs_to_others_is_left_as_it_is(
    folder: Path, name: str, content: bytes, said: str
) -> None:
    """A run that would mix two inputs says so, and changes nothing."""
    interrupted(folder, Counter())
    path = folder.parent / name if name == "in.jsonl" else folder / name
    path.write_bytes(content)
    before = {path.name: path.read_bytes() for path in folder.iterdir()}
    asked: Counter[str] = Counter()
    with pytest.raises(OutputsError, match=said):
        run(folder, asked)
    assert before == {path.name: path.read_bytes() for path in folder.iterdir()}
    assert not asked
