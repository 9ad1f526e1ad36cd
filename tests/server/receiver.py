"""A receiver of webhooks on a real port, in a thread of the test process."""

import threading
from collections.abc import Callable, Mapping
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from queue import Queue
from typing import NamedTuple

__all__ = ["Received", "Receiver"]


class Received(NamedTuple):
    """A delivery as it came."""

    path: str
    headers: Mapping[str, str]
    body: bytes


class Receiver:
    """Answers with the statuses it was given, the last of them for ever.

    A status may come with headers; `hang` answers nothing until it is let go.
    """

    def __init__(self, *answers: int | tuple[int, Mapping[str, str]]) -> None:
        self.came: Queue[Received] = Queue()
        self.answers = list(answers or (200,))
        self.hanging = threading.Event()
        self.hanging.set()
        self._server = ThreadingHTTPServer(("127.0.0.1", 0), _answering(self))
        self._server.daemon_threads = True
        self._thread = threading.Thread(target=self._server.serve_forever, args=(0.01,))
        self._thread.start()

    @property
    def port(self) -> int:
        return int(self._server.server_address[1])

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.port}/hook?team=a"

    def hang(self) -> None:
        """Take deliveries and say nothing."""
        self.hanging.clear()

    def next(self) -> Received:
        """The next delivery."""
        return self.came.get(timeout=30)

    def close(self) -> None:
        self.hanging.set()
        self._server.shutdown()
        self._thread.join()
        self._server.server_close()


def _answering(receiver: Receiver) -> Callable[..., BaseHTTPRequestHandler]:
    class Answering(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            body = self.rfile.read(int(self.headers["content-length"]))
            headers = {name.lower(): value for name, value in self.headers.items()}
            receiver.came.put(Received(self.path, headers, body))
            receiver.hanging.wait(30)
            answers = receiver.answers
            answer = answers.pop(0) if len(answers) > 1 else answers[0]
            status, fields = answer if isinstance(answer, tuple) else (answer, {})
            try:
                self.send_response(status)
                for name, value in fields.items():
                    self.send_header(name, value)
                self.end_headers()
            except OSError:
                # Whoever asked did not wait for it.
                pass

        def log_message(self, *_: object) -> None:
            pass

    return Answering
