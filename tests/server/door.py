"""A real server on a real port, over a real store, in a thread of the test process."""

import http.client
import itertools
import random
import secrets
import socket
import threading
from collections.abc import Mapping
from pathlib import Path
from typing import Any, NamedTuple

import msgspec
import uvloop
from openai import OpenAI

from batchyard.config import Settings
from batchyard.places.blobs import Blobs
from batchyard.places.clock import Clock, system_clock
from batchyard.places.database import BlockingThread
from batchyard.places.posting import Posting
from batchyard.places.store import Identity, Outbox, Records, Webhooks, Work, open_store
from batchyard.places.store.rows import AskedModel, Course, NewShard
from batchyard.rules.addresses import Fence
from batchyard.rules.limits import RELAXED, Limits
from batchyard.server.app import build_app
from batchyard.server.http import make_server
from batchyard.server.keys import hash_secret, key_of, new_secret
from batchyard.server.yard import Yard
from batchyard.wire.models import ModelList
from batchyard.wire.objects import BatchError, BatchErrors, BatchStatus, Model
from tests.hands import in_hand

__all__ = ["Answer", "Caller", "Door", "form"]

LINE = (
    b'{"custom_id":"a","method":"POST","url":"/v1/embeddings","body":{"model":"m","input":"x"}}\n'
)
ONE_SHARD = NewShard("tiny", 0, len(LINE), 0, 1, 1, b"\0")
MODELS = (
    Model(id="tiny", created=1_700_000_000, owned_by="vllm"),
    Model(id="org/tiny", created=1_700_000_000, owned_by="vllm"),
)
_numbers = itertools.count()


class Answer(NamedTuple):
    """What came back."""

    status: int
    headers: Mapping[str, str]
    body: bytes

    @property
    def json(self) -> Any:
        return msgspec.json.decode(self.body)

    @property
    def error(self) -> tuple[int, str | None, str | None]:
        """Status, code and param; the envelope must have its four keys."""
        error = self.json["error"]
        assert set(error) == {"message", "type", "param", "code"}
        assert error["message"]
        assert error["type"] == ("invalid_request_error" if self.status < 500 else "server_error")
        return self.status, error["code"], error["param"]


class Door:
    """A server that runs until closed; no worker stands behind it."""

    def __init__(
        self,
        folder: Path,
        limits: Limits = RELAXED,
        *,
        private_webhooks: bool = False,
        clock: Clock | None = None,
        **settings: Any,
    ) -> None:
        folder.mkdir(parents=True, exist_ok=True)
        self._store = open_store(f"sqlite:///{folder / 'door.sqlite'}")
        self._threads, self._pages = BlockingThread(), BlockingThread()
        self._disk = BlockingThread(4)
        self.records, self.work = Records(self._store), Work(self._store)
        self.identity = Identity(self._store)
        self.blobs_folder = folder / "blobs"
        self.blobs_folder.mkdir(exist_ok=True)
        self.fault: Exception | None = None
        self.rings = 0
        fence = Fence(private=private_webhooks)
        self.outbox = Outbox(self._store)
        self.yard = Yard(
            records=self.records,
            identity=self.identity,
            webhooks=Webhooks(self._store),
            fence=fence,
            posting=Posting(
                lambda one: fence.lets(one.scheme, one.host, one.port, one.ip),
                timeout_seconds=5.0,
            ),
            blobs=Blobs(self.blobs_folder, self._reach),
            limits=limits,
            clock=clock or system_clock(),
            chance=secrets.SystemRandom(),
            store=self._threads,
            pages=self._pages,
            disk=self._disk,
            ring=self._ring,
            models=self._models,
            settings=Settings(**settings),
        )
        listening = socket.create_server(("127.0.0.1", 0), backlog=128)
        self.port: int = listening.getsockname()[1]
        self._server = make_server(build_app(self.yard))
        self._thread = threading.Thread(
            target=lambda: uvloop.run(self._server.serve([listening])), name="door"
        )
        self._thread.start()

    def close(self) -> None:
        self._server.should_exit = True
        self._thread.join()
        self._disk.close()
        self._threads.close()
        self._pages.close()
        self._store.close()

    def protocols(self) -> set[Any]:
        """The connections that are open now."""
        return set(self._server.server_state.connections)

    def caller(self, project: str | None = None, **key: Any) -> "Caller":
        """Somebody with a key, by default of a project that nobody else has."""
        chance = random.Random(next(_numbers))
        secret = new_secret(secrets.SystemRandom())
        row = key_of(secret, f"key {chance.random()}", secrets.SystemRandom(), 1)
        row = msgspec.structs.replace(row, project_id=project or f"proj_{next(_numbers)}", **key)
        self.identity.add_key(row, hash_secret(secret))
        return Caller(self, secret, row.id, row.project_id)

    def connect(self) -> socket.socket:
        """A bare connection, which gives up on an answer after ten seconds."""
        return socket.create_connection(("127.0.0.1", self.port), timeout=10)

    def send(self, *chunks: bytes) -> bytes:
        """What a bare connection answers until the server closes it."""
        with self.connect() as connection:
            for chunk in chunks:
                connection.sendall(chunk)
            return b"".join(iter(lambda: _received(connection), b""))

    def end(self, batch_id: str, status: BatchStatus) -> None:
        """Bring a batch to its end, as a worker would."""
        now = self.yard.now()
        if status == "failed":
            error = BatchError(code="empty_file", message="The file is empty.")
            course = self._course(batch_id)
            with in_hand(self.work, batch_id) as hand:
                assert self.work.fail(course, hand, BatchErrors(data=(error,)), now)
        else:
            course = self._course(batch_id)
            if course.status == "validating":
                self.populate(batch_id)
                course = msgspec.structs.replace(course, status="in_progress")
            with in_hand(self.work, batch_id) as hand:
                assert self.work.finish(course, hand, status, {}, now)

    def populate(self, batch_id: str, tokens: int = 10) -> None:
        """Validate a batch of one line, as a worker would."""
        asked = [AskedModel("tiny", 1, tokens)]
        course, now = self._course(batch_id), self.yard.now()
        with in_hand(self.work, batch_id) as hand:
            moved = self.work.populate(course, hand, "tiny", [ONE_SHARD], now, asked=asked)
        assert moved is True

    def project_of(self, batch_id: str) -> str:
        """The project of a batch that has no worker yet."""
        return self._course(batch_id).project_id

    def _course(self, batch_id: str) -> Course:
        return next(one for one in self.work.look(self.yard.now()).courses if one.id == batch_id)

    def _ring(self) -> None:
        self.rings += 1

    def _reach(self, _name: str) -> None:
        if self.fault is not None:
            raise self.fault

    async def _models(self) -> ModelList:
        self._reach("models")
        return ModelList(tuple(MODELS))


class Caller:
    """Somebody who asks, with a key."""

    def __init__(self, door: Door, secret: str, key_id: str, project: str = "") -> None:
        self.door, self.secret, self.key_id, self.project = door, secret, key_id, project
        self.auth = {"authorization": f"Bearer {secret}"}

    def sdk(self, **options: Any) -> OpenAI:
        """The official client; it holds every answer to its schema."""
        return OpenAI(
            base_url=f"http://127.0.0.1:{self.door.port}/v1",
            api_key=self.secret,
            _strict_response_validation=True,
            **{"max_retries": 0} | options,
        )

    def ask(
        self,
        verb: str,
        path: str,
        body: bytes | None = None,
        headers: Mapping[str, str] | None = None,
    ) -> Answer:
        """Ask as plainly as possible."""
        connection = http.client.HTTPConnection("127.0.0.1", self.door.port, timeout=10)
        try:
            connection.request(verb, path, body, {**self.auth, **(headers or {})})
            answer = connection.getresponse()
            fields = {name.lower(): value for name, value in answer.getheaders()}
            return Answer(answer.status, fields, answer.read())
        finally:
            connection.close()

    def post(self, path: str, body: object) -> Answer:
        """Ask with a JSON body."""
        return self.ask(
            "POST", path, msgspec.json.encode(body), {"content-type": "application/json"}
        )

    def post_form(self, body: bytes, boundary: str = "B") -> Answer:
        """Upload with a form that was put together by hand."""
        return self.ask(
            "POST",
            "/v1/files",
            body,
            {"content-type": f"multipart/form-data; boundary={boundary}"},
        )

    def upload(self, content: bytes = LINE, purpose: str = "batch") -> str:
        """Upload a file and return its id."""
        file_part = (b'name="file"; filename="in.jsonl"', content)
        answer = self.post_form(form((b'name="purpose"', purpose.encode()), file_part))
        assert answer.status == 200, answer.body
        id: str = answer.json["id"]
        return id

    def create(self, **changed: object) -> Answer:
        """Create a batch, by default of a file that is not there."""
        asked = {
            "input_file_id": "file-none",
            "endpoint": "/v1/embeddings",
            "completion_window": "24h",
        }
        return self.post("/v1/batches", asked | changed)

    def head_of(self, verb: str, path: str, *headers: str) -> bytes:
        """The head of a request, for a bare connection."""
        lines = [f"{verb} {path} HTTP/1.1", "host: x", f"authorization: Bearer {self.secret}"]
        return "\r\n".join([*lines, *headers, "", ""]).encode()


def form(*parts: tuple[bytes, bytes], boundary: bytes = b"B") -> bytes:
    """A multipart form of parts, each given as the options of its disposition and its content."""
    return (
        b"".join(
            b"--%b\r\nContent-Disposition: form-data; %b\r\n\r\n%b\r\n"
            % (boundary, options, content)
            for options, content in parts
        )
        + b"--%b--\r\n" % boundary
    )


def _received(connection: socket.socket) -> bytes:
    try:
        return connection.recv(65_536)
    except ConnectionResetError:
        return b""
