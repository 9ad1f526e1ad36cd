"""A bucket that speaks S3 over HTTP: puts under a condition, parts, ranges, pages, and bad days."""

import hashlib
import re
import threading
import time
from collections import Counter
from collections.abc import Callable
from email.utils import formatdate
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any
from urllib.parse import parse_qs, unquote, urlsplit
from xml.sax.saxutils import escape, unescape

__all__ = ["Bucket"]

PAGE = 20


class Bucket:
    """The store; `objects` are what it holds, with the time of each put.

    `fault(verb, key)` may say "refuse" (503), "drop" (no answer, nothing done) or "mute" (done, no
    answer). `blind` makes it overlook conditions, as some stores do.
    """

    def __init__(self) -> None:
        self.objects: dict[str, tuple[bytes, float]] = {}
        self.fault: Callable[[str, str], str] = lambda _verb, _key: ""
        self.blind = False
        self.calls: Counter[str] = Counter()
        self._parts: dict[str, dict[int, bytes]] = {}
        self._lock = threading.Lock()
        bucket = self

        class Door(BaseHTTPRequestHandler):
            protocol_version = "HTTP/1.1"
            wbufsize = -1

            def log_message(self, *_: Any) -> None:
                pass

            def _answer(self) -> None:
                body = self.rfile.read(int(self.headers.get("content-length") or 0))
                split = urlsplit(self.path)
                key = unquote(split.path).partition("/b/")[2]
                fault = bucket.fault(self.command, key)
                told: tuple[int, dict[str, str], bytes] = (503, {}, b"")
                if fault not in ("refuse", "drop"):
                    with bucket._lock:
                        asked = parse_qs(split.query, keep_blank_values=True)
                        told = bucket.answer(self.command, key, asked, dict(self.headers), body)
                if fault in ("drop", "mute"):
                    self.close_connection = True
                    return
                status, headers, content = told
                try:
                    self.send_response(status)
                    for name, value in headers.items():
                        self.send_header(name, value)
                    if "content-length" not in headers:
                        self.send_header("content-length", str(len(content)))
                    self.end_headers()
                    self.wfile.write(content)
                    self.wfile.flush()
                except OSError:
                    self.close_connection = True

            do_GET = do_PUT = do_POST = do_HEAD = do_DELETE = _answer

        self._server = ThreadingHTTPServer(("127.0.0.1", 0), Door)
        self._server.daemon_threads = True
        self.endpoint = f"http://127.0.0.1:{self._server.server_address[1]}"
        self._thread = threading.Thread(target=self._server.serve_forever, args=(0.02,))
        self._thread.start()

    @property
    def environment(self) -> dict[str, str]:
        """What tells a client where it is."""
        return {
            "AWS_ENDPOINT_URL": self.endpoint,
            "AWS_ALLOW_HTTP": "true",
            "AWS_REGION": "us-east-1",
            "AWS_ACCESS_KEY_ID": "id",
            "AWS_SECRET_ACCESS_KEY": "secret",
        }

    def close(self) -> None:
        self._server.shutdown()
        self._thread.join()
        self._server.server_close()

    def names(self, below: str) -> list[str]:
        """What is in a folder of it."""
        return sorted(key for key in self.objects if key.startswith(below))

    def answer(
        self, verb: str, key: str, asked: dict[str, list[str]], headers: dict[str, str], body: bytes
    ) -> tuple[int, dict[str, str], bytes]:
        named = {name.lower(): value for name, value in headers.items()}
        self.calls[verb] += 1
        if verb == "PUT":
            return self._put(key, asked, named, body)
        if verb == "POST":
            return self._post(key, asked, body)
        if verb == "DELETE":
            self.objects.pop(key, None)
            return 204, {}, b""
        if not key:
            return 200, {"content-type": "application/xml"}, self._listed(asked)
        if key not in self.objects:
            return 404, {}, b"<Error><Code>NoSuchKey</Code></Error>"
        return self._got(verb, key, named.get("range"))

    def _put(
        self, key: str, asked: dict[str, list[str]], named: dict[str, str], body: bytes
    ) -> tuple[int, dict[str, str], bytes]:
        if "partNumber" in asked:
            self._parts[asked["uploadId"][0]][int(asked["partNumber"][0])] = body
            return 200, {"etag": _etag(body)}, b""
        if named.get("if-none-match") == "*" and key in self.objects and not self.blind:
            return 412, {}, b"<Error><Code>PreconditionFailed</Code></Error>"
        if source := named.get("x-amz-copy-source"):
            body = self.objects[unquote(source).lstrip("/").partition("/")[2]][0]
            told = _told("CopyObjectResult", f"<ETag>{_etag(body)}</ETag>")
        else:
            told = b""
        self.objects[key] = (body, time.time())
        return 200, {"etag": _etag(body)}, told

    def _post(
        self, key: str, asked: dict[str, list[str]], body: bytes
    ) -> tuple[int, dict[str, str], bytes]:
        if "delete" in asked:
            names = re.findall(r"<Key>(.*?)</Key>", body.decode())
            for name in names:
                self.objects.pop(unescape(name), None)
            deleted = "".join(f"<Deleted><Key>{name}</Key></Deleted>" for name in names)
            return 200, {}, _told("DeleteResult", deleted)
        if "uploads" in asked:
            id = f"upload-{len(self._parts)}"
            self._parts[id] = {}
            return 200, {}, _told("InitiateMultipartUploadResult", f"<UploadId>{id}</UploadId>")
        parts = self._parts[asked["uploadId"][0]]
        body = b"".join(parts[number] for number in sorted(parts))
        self.objects[key] = (body, time.time())
        return 200, {}, _told("CompleteMultipartUploadResult", f"<ETag>{_etag(body)}</ETag>")

    def _got(self, verb: str, key: str, wanted: str | None) -> tuple[int, dict[str, str], bytes]:
        body, put_at = self.objects[key]
        told = {"etag": _etag(body), "last-modified": formatdate(put_at, usegmt=True)}
        if verb == "HEAD":
            return 200, told | {"content-length": str(len(body))}, b""
        if wanted:
            start, _, end = wanted.removeprefix("bytes=").partition("-")
            first, last = int(start), min(int(end), len(body) - 1)
            told["content-range"] = f"bytes {first}-{last}/{len(body)}"
            return 206, told, body[first : last + 1]
        return 200, told, body

    def _listed(self, asked: dict[str, list[str]]) -> bytes:
        after = max(asked.get("start-after", [""])[0], asked.get("continuation-token", [""])[0])
        names = [one for one in self.names(asked.get("prefix", [""])[0]) if one > after]
        told = "".join(
            f"<Contents><Key>{escape(one)}</Key><Size>{len(self.objects[one][0])}</Size>"
            f"<LastModified>2026-01-01T00:00:00.000Z</LastModified><ETag>x</ETag></Contents>"
            for one in names[:PAGE]
        )
        if len(names) > PAGE:
            told += f"<NextContinuationToken>{escape(names[PAGE - 1])}</NextContinuationToken>"
        return _told("ListBucketResult", told)


def _etag(body: bytes) -> str:
    return f'"{hashlib.md5(body).hexdigest()}"'


def _told(name: str, content: str) -> bytes:
    return f"<{name}>{content}</{name}>".encode()
