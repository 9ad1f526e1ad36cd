"""A way to a server on which large answers break off."""

import contextlib
import socket
import threading
from socketserver import BaseRequestHandler, ThreadingTCPServer
from urllib.parse import urlsplit

__all__ = ["Breaking"]


class Breaking:
    """Passes bytes on; the first connection with more than `cuts[0]` of them ends there, and so on.

    With `stalls` it stays open, and silent. `carried` has how many came from the server on each.
    """

    def __init__(self, url: str, *cuts: int) -> None:
        self.cuts, self.stalls = list(cuts), False
        self._over = threading.Event()
        self.carried: list[int] = []
        breaking, port = self, urlsplit(url).port

        class Passing(BaseRequestHandler):
            def handle(self) -> None:
                number = len(breaking.carried)
                breaking.carried.append(0)
                with socket.create_connection(("127.0.0.1", port or 0)) as server:
                    there = threading.Thread(target=_pass_on, args=(self.request, server))
                    there.start()
                    with contextlib.suppress(OSError):
                        while found := server.recv(65_536):
                            most = breaking.cuts[0] if breaking.cuts else 1 << 40
                            left = most - breaking.carried[number]
                            self.request.sendall(found[:left])
                            breaking.carried[number] += len(found[:left])
                            if len(found) > left:
                                breaking.cuts.pop(0)
                                if breaking.stalls:
                                    breaking._over.wait()
                                break
                    for one in (self.request, server):
                        with contextlib.suppress(OSError):
                            one.shutdown(socket.SHUT_RDWR)
                    there.join()

        self._server = ThreadingTCPServer(("127.0.0.1", 0), Passing)
        self._server.daemon_threads = True
        self.url = f"http://127.0.0.1:{self._server.server_address[1]}/v1"
        self._thread = threading.Thread(target=self._server.serve_forever, args=(0.02,))
        self._thread.start()

    def close(self) -> None:
        """End it."""
        self._over.set()
        self._server.shutdown()
        self._thread.join()
        self._server.server_close()


def _pass_on(here: socket.socket, there: socket.socket) -> None:
    with contextlib.suppress(OSError):
        while found := here.recv(65_536):
            there.sendall(found)
        there.shutdown(socket.SHUT_WR)
