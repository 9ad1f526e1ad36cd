"""A campaign holds nothing large in memory, however large its files are."""

import json
import re
import sys
import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import msgspec
import pytest

from batchyard.client.campaigns.cutting import Sizes
from batchyard.client.campaigns.settings import Settings
from tests.client.test_kills import live

COUNT, TEXT = 1_060, "x" * 100_000
# Of Python and all that is imported it is about half.
MOST_BYTES = 80 << 20


class Door(BaseHTTPRequestHandler):
    """A server that keeps nothing: each batch is completed at once, with an answer for each id."""

    protocol_version = "HTTP/1.1"
    carried = 0

    def log_message(self, *_: Any) -> None:
        pass

    def do_POST(self) -> None:
        left = int(self.headers["content-length"])
        while left:
            left -= len(self.rfile.read(min(left, 1 << 16)))
        Door.carried += int(self.headers["content-length"])
        self.do_GET()

    def do_GET(self) -> None:
        if not self.path.endswith("/content"):
            batch = {"id": "b", "status": "completed", "output_file_id": "f", "data": []}
            self._say(json.dumps(batch).encode(), 1)
            return
        choice = {"finish_reason": "stop", "message": {"role": "assistant", "content": TEXT}}
        response = {"status_code": 200, "body": {"choices": [choice]}}
        line = json.dumps({"custom_id": "c00000", "response": response}).encode() + b"\n"
        self._say(line, COUNT)

    def _say(self, line: bytes, count: int) -> None:
        self.send_response(200)
        self.send_header("content-length", str(len(line) * count))
        self.end_headers()
        for number in range(count):
            self.wfile.write(line.replace(b"c00000", b"c%05d" % number))


@pytest.fixture
def url() -> Iterator[str]:
    server = ThreadingHTTPServer(("127.0.0.1", 0), Door)
    thread = threading.Thread(target=server.serve_forever, args=(0.02,))
    thread.start()
    yield f"http://127.0.0.1:{server.server_port}/v1"
    server.shutdown()
    thread.join()
    server.server_close()


@pytest.mark.skipif(sys.platform != "linux", reason="the peak is read from /proc")
def test_neither_chunks_nor_results_are_held(url: str, tmp_path: Path) -> None:
    """More than 100 MB go up in one chunk and come back, in less memory than one of them."""
    message = {"role": "user", "content": TEXT}
    with (tmp_path / "in.jsonl").open("w") as file:
        for number in range(COUNT):
            body = {"model": "m1", "messages": [message]}
            asked = {"custom_id": f"c{number:05}", "method": "POST", "url": "/v1/chat/completions"}
            file.write(json.dumps(asked | {"body": body}) + "\n")
    sizes = Sizes(requests=COUNT, bytes=200 << 20, embedding_inputs=1)
    settings = Settings(base_url=url, sizes=sizes, poll_seconds=0.02, settle_seconds=0.0)
    (tmp_path / "settings.json").write_bytes(msgspec.json.encode(settings))
    assert live(tmp_path) == 0
    results = tmp_path / "c" / "results.jsonl"
    assert results.stat().st_size > 100 << 20
    assert Door.carried > 100 << 20
    peak = re.search(r"VmHWM:\s+([0-9]+) kB", (tmp_path / "status").read_text())
    assert peak is not None
    assert int(peak[1]) << 10 < MOST_BYTES
