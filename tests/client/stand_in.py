"""A stand-in for the Batch APIs of others, with their habits and faults, which counts all it does.

A batch moves one status further each time it is looked at; nothing depends on time.
"""

import json
import re
import threading
from collections import Counter
from collections.abc import Callable
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

__all__ = ["Habits", "StandIn"]

COURSE = ("validating", "in_progress", "finalizing")


class Habits:
    """What it does otherwise than OpenAI, all off until a test says so."""

    def __init__(self, **on: Any) -> None:
        # How statuses look, and what stands for a file that is not there.
        self.upper = False
        self.no_file: str | None = None
        self.bare_list = False
        self.drops_metadata = False
        # Most requests in unfinished batches; how it says no: "batch", "create" or "text".
        self.queue: int | None = None
        self.says_full = "batch"
        # What it says the queue's limit is, in tokens.
        self.limit: int | None = None
        # So many creates work and are not answered; so many calls before are answered with 500.
        self.lost_creates = 0
        self.broken_calls = 0
        # It refuses each call once for being too quick, and says when to come again.
        self.throttles = False
        # How often a file is looked at before a batch can be made of it.
        self.slow_files = 0
        # How often a file of results is not there yet.
        self.late_files = 0
        # Batches that it does not know for so many looks.
        self.forgets: dict[str, int] = {}
        # An error that every create has.
        self.refuses: tuple[int, str] | None = None
        # How a batch ends, by its number from 1; the rest of its lines are left out.
        self.ends: dict[int, tuple[str, int]] = {}
        self.errors: dict[int, Any] = {}
        # How a request is answered, by its custom_id and how often it was asked; "says x" is x.
        self.answers: Callable[[str, int], str] = lambda _id, _time: "ok"
        self.doubles = False
        self.skips: set[str] = set()
        self.adds_stranger = False
        for name, value in on.items():
            assert hasattr(self, name)
            setattr(self, name, value)


class StandIn:
    """The server; `asked` counts how often each request was in a batch that was begun."""

    def __init__(self, habits: Habits | None = None) -> None:
        self.habits = habits or Habits()
        self.files: dict[str, bytes] = {}
        self.batches: list[dict[str, Any]] = []
        self.bodies: list[dict[str, Any]] = []
        self.asked: Counter[str] = Counter()
        self.most_enqueued = 0
        self._looks: Counter[str] = Counter()
        self._fetches = Counter[str]()
        self._throttled: set[tuple[str, str]] = set()
        self._lock = threading.Lock()
        stand_in = self

        class Door(BaseHTTPRequestHandler):
            protocol_version = "HTTP/1.1"
            # Head and body leave together; apart, each answer would wait for the other side.
            wbufsize = -1

            def log_message(self, *_: Any) -> None:
                pass

            def do_GET(self) -> None:
                self._answer(b"")

            def do_POST(self) -> None:
                self._answer(self.rfile.read(int(self.headers["content-length"])))

            def _answer(self, body: bytes) -> None:
                with stand_in._lock:
                    found = stand_in.answer(self.command, self.path, body)
                if found is None:
                    self.close_connection = True
                    return
                status, content = found
                text = content if isinstance(content, bytes) else json.dumps(content).encode()
                try:
                    self.send_response(status)
                    self.send_header("content-length", str(len(text)))
                    if status == 429 and stand_in.habits.throttles:
                        self.send_header("retry-after-ms", "1")
                    self.end_headers()
                    self.wfile.write(text)
                    self.wfile.flush()
                except OSError:
                    # Whoever asked was killed.
                    self.close_connection = True

        self._server = ThreadingHTTPServer(("127.0.0.1", 0), Door)
        self._server.daemon_threads = True
        self.url = f"http://127.0.0.1:{self._server.server_address[1]}/v1"
        self._thread = threading.Thread(target=self._server.serve_forever, args=(0.02,))
        self._thread.start()

    def close(self) -> None:
        self._server.shutdown()
        self._thread.join()
        self._server.server_close()

    def answer(self, verb: str, path: str, body: bytes) -> tuple[int, Any] | None:
        """The answer to a call; None where there is none."""
        if self.habits.broken_calls:
            self.habits.broken_calls -= 1
            return 500, b"<html>try later</html>"
        if self.habits.throttles and (verb, path) not in self._throttled:
            self._throttled.add((verb, path))
            return 429, {"error": {"message": "Too many requests."}}
        path = path.partition("?")[0].removeprefix("/v1")
        if (verb, path) == ("POST", "/files"):
            return self._upload(body)
        if (verb, path) == ("POST", "/batches"):
            return self._create(json.loads(body))
        if path == "/batches":
            listed = [self._shown(one) for one in reversed(self.batches)]
            return 200, listed if self.habits.bare_list else {"data": listed, "has_more": False}
        found = re.fullmatch(r"/files/([^/]+)", path)
        if found:
            self._looks[found[1]] += 1
            return 200, self._file(found[1])
        found = re.fullmatch(r"/files/([^/]+)/content", path)
        if found:
            self._fetches[found[1]] += 1
            if self._fetches[found[1]] <= self.habits.late_files:
                return 404, {"error": {"message": "No such File object."}}
            return 200, self.files[found[1]]
        found = re.fullmatch(r"/batches/([^/]+)(/cancel)?", path)
        named = [one for one in self.batches if found and one["id"] == found[1]]
        if not found or not named:
            return 404, {"error": {"message": f"Invalid URL ({verb} {path})"}}
        (batch,) = named
        if self.habits.forgets.get(found[1], 0) > 0:
            self.habits.forgets[found[1]] -= 1
            return 404, {"error": {"message": "No batch found."}}
        if found[2]:
            batch["cancelling"] = True
        else:
            self._look(batch)
        return 200, self._shown(batch)

    def _upload(self, body: bytes) -> tuple[int, Any]:
        content = body.split(b"\r\n\r\n", 2)[2].rsplit(b"\r\n--", 1)[0]
        id = f"file-{len(self.files)}"
        self.files[id] = content
        return 200, self._file(id)

    def _file(self, id: str) -> dict[str, Any]:
        ready = self._looks[id] >= self.habits.slow_files
        return {"id": id, "object": "file", "status": "processed" if ready else "Pending"}

    def _create(self, asked: dict[str, Any]) -> tuple[int, Any] | None:
        if self.habits.refuses is not None:
            status, code = self.habits.refuses
            return status, {"error": {"code": code, "message": "no"}}
        if self._looks[asked["input_file_id"]] < self.habits.slow_files:
            return 400, {"error": {"code": "invalid_input", "message": "The file is not ready."}}
        lines = [json.loads(one) for one in self.files[asked["input_file_id"]].splitlines()]
        enqueued = sum(len(one["lines"]) for one in self.batches if not one["over"])
        full = self.habits.queue is not None and enqueued + len(lines) > self.habits.queue
        message = "Enqueued token limit reached for m1 in organization o."
        if self.habits.limit is not None:
            message += f" Limit: {self.habits.limit:,} enqueued tokens. Please try again."
        if full and self.habits.says_full == "create":
            return 400, {"error": {"code": "token_limit_exceeded", "message": message}}
        if full and self.habits.says_full == "text":
            return 429, {"detail": message}
        batch = asked | {
            "id": f"batch_{len(self.batches) + 1}",
            "status": "validating",
            "number": len(self.batches) + 1,
            "over": False,
            "lines": lines,
            "created_at": len(self.batches),
        }
        if full:
            batch["full"] = {"data": [{"code": "token_limit_exceeded", "message": message}]}
        else:
            self.most_enqueued = max(self.most_enqueued, enqueued + len(lines))
            self.asked.update(line["custom_id"] for line in lines)
            self.bodies += [line["body"] for line in lines]
        self.batches.append(batch)
        if self.habits.lost_creates:
            self.habits.lost_creates -= 1
            return None
        return 200, self._shown(batch)

    def _look(self, batch: dict[str, Any]) -> None:
        if batch["over"]:
            return
        self._looks[batch["id"]] += 1
        looks = self._looks[batch["id"]]
        if looks < len(COURSE) and not batch.get("full") and not batch.get("cancelling"):
            batch["status"] = COURSE[looks]
            return
        batch["over"] = True
        status, most = self.habits.ends.get(batch["number"], ("completed", 10**6))
        if batch.get("cancelling"):
            status, most = "cancelled", 1
        if batch.get("full"):
            status, most, batch["errors"] = "failed", 0, batch["full"]
        elif status == "failed":
            batch["errors"], most = self.habits.errors.get(batch["number"]), 0
        batch["status"] = status
        self._write(batch, most)

    def _write(self, batch: dict[str, Any], most: int) -> None:
        output: list[dict[str, Any]] = []
        errors: list[dict[str, Any]] = []
        for line in batch["lines"][:most]:
            custom_id = line["custom_id"]
            if custom_id in self.habits.skips:
                continue
            kind = self.habits.answers(custom_id, self.asked[custom_id])
            if kind.startswith("says "):
                said = _answered(200, _chat("stop", kind.removeprefix("says ")))
                output.append({"custom_id": custom_id} | said)
                continue
            (output if kind in IN_OUTPUT else errors).append(
                {"custom_id": custom_id} | ANSWERS[kind]
            )
        if self.habits.doubles:
            output += output
        if self.habits.adds_stranger:
            output.append({"custom_id": "who?"} | ANSWERS["ok"])
        for name, lines in (("output_file_id", output), ("error_file_id", errors)):
            if lines:
                id = f"file-{len(self.files)}"
                self.files[id] = "".join(json.dumps(one) + "\n" for one in lines).encode()
                batch[name] = id

    def _shown(self, batch: dict[str, Any]) -> dict[str, Any]:
        status = batch["status"].upper() if self.habits.upper else batch["status"]
        return {
            "id": batch["id"],
            "status": status,
            "input_file_id": batch["input_file_id"],
            "output_file_id": batch.get("output_file_id", self.habits.no_file),
            "error_file_id": batch.get("error_file_id", self.habits.no_file),
            "errors": batch.get("errors"),
            "created_at": batch["created_at"],
            "metadata": None if self.habits.drops_metadata else batch["metadata"],
            "request_counts": None,
        }


def _answered(status: int, body: Any) -> dict[str, Any]:
    return {"response": {"status_code": status, "body": body}, "error": None}


def _chat(reason: str, content: str | None = "yes", **more: str) -> dict[str, Any]:
    message = {"role": "assistant", "content": content, **more}
    choice = {"finish_reason": reason, "message": message}
    usage = {"prompt_tokens": 3, "completion_tokens": 2, "total_tokens": 5}
    return {"object": "chat.completion", "choices": [choice], "usage": usage}


# The others stand in the error file.
IN_OUTPUT = ("ok", "length", "garbage", "refusal", '"no"', "{")
ANSWERS: dict[str, dict[str, Any]] = {
    "ok": _answered(200, _chat("stop")),
    "length": _answered(200, _chat("length")),
    "garbage": _answered(200, "not an object"),
    "refusal": _answered(200, _chat("stop", None, refusal="I will not.")),
    '"no"': _answered(200, _chat("stop", '"no"')),
    "{": _answered(200, _chat("stop", "{")),
    "content": _answered(200, _chat("content_filter")),
    "429": _answered(429, {"error": {"code": "rate_limit_exceeded", "message": "slow"}}),
    "500": {"response": None, "error": "the server broke"},
    "503": _answered(503, "busy"),
    "400": _answered(400, {"error": {"message": "no such thing", "type": "invalid_request_error"}}),
    "expired": {"response": None, "error": {"code": "batch_expired", "message": "too late"}},
}
