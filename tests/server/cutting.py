"""A proxy that passes requests on and keeps the first answer to itself."""

import http.client
import threading
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

__all__ = ["Cutter"]


class Cutter:
    """Stands before a server; cuts the connection instead of giving the first answer to a POST."""

    def __init__(self, port: int, ending: str) -> None:
        self.answers: list[tuple[str, bytes]] = []
        cutter = self

        class Passing(BaseHTTPRequestHandler):
            protocol_version = "HTTP/1.1"

            def do_POST(self) -> None:
                body = self.rfile.read(int(self.headers["content-length"]))
                connection = http.client.HTTPConnection("127.0.0.1", port, timeout=10)
                connection.request("POST", self.path, body, dict(self.headers))
                answer = connection.getresponse()
                text = answer.read()
                connection.close()
                if self.path.endswith(ending):
                    retries = self.headers["x-stainless-retry-count"]
                    cutter.answers.append((retries, text))
                    if len(cutter.answers) == 1:
                        self.close_connection = True
                        return
                self.send_response(answer.status)
                self.send_header("content-type", "application/json")
                self.send_header("content-length", str(len(text)))
                self.end_headers()
                self.wfile.write(text)

            def log_message(self, format: str, *args: object) -> None:
                pass

        self._server = ThreadingHTTPServer(("127.0.0.1", 0), Passing)
        self.url = f"http://127.0.0.1:{self._server.server_port}/v1"
        self._thread = threading.Thread(target=self._server.serve_forever)
        self._thread.start()

    def close(self) -> None:
        """End it."""
        self._server.shutdown()
        self._thread.join()
        self._server.server_close()
