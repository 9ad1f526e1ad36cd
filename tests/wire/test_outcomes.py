"""What result lines tell, however odd what an upstream answered."""

import pytest

from batchyard.wire.lines import render_answer
from batchyard.wire.outcomes import Row, line_index, read_outcome, read_row

ID = "batch_req_000000000000000000000000" + "00000007"


@pytest.mark.parametrize("custom_id", ["a", 'a "quoted" \\ id', "half \ud800"])
@pytest.mark.parametrize("levels", [10, 128, 900, 990, 999, 1_100, 100_000])
def test_a_deep_answer_is_shown_as_far_as_it_can_be_read(levels: int, custom_id: str) -> None:
    """No reader of results ends in the middle of a file for one line of it."""
    body = b'{"choices":' + b"[" * levels + b"]" * levels + b"}"
    line = (
        b'{"id":"%b","custom_id":%b,"response":{"status_code":200,"request_id":"r","body":%b},'
        b'"error":null}\n' % (ID.encode(), _quoted(custom_id), body)
    )
    for succeeded in (True, False):
        row: Row = read_row(line, succeeded=succeeded)
        assert (row.line, row.custom_id, row.status_code) == (8, custom_id, 200)
    assert line_index(line) == 7


@pytest.mark.parametrize("levels", [1, 500, 990])
@pytest.mark.parametrize("name", ["code", "type", "message"])
def test_an_error_of_odd_parts_is_shown(name: str, levels: int) -> None:
    """Whatever stands in the place of a text."""
    body = b'{"error":{"%b":%b}}' % (name.encode(), b"[" * levels + b"]" * levels)
    line = b"".join(render_answer(ID, "a", 400, "r", body))
    found = read_outcome(line)
    assert found.status == "errored"
    assert "400" in found.codes


def _quoted(text: str) -> bytes:
    """A text as JSON, in which half a character is an escape."""
    escaped = text.replace("\\", "\\\\").replace('"', '\\"').replace("\ud800", "\\ud800")
    return b'"%b"' % escaped.encode()
