"""Batches behind a door whose results are recorded as a worker records them."""

import itertools
import json
import weakref
from random import Random

from batchyard.flow.course import Desk, take_step
from batchyard.flow.keeping import HeldLease, Ledger
from batchyard.flow.landing import Landing
from batchyard.places import transport
from batchyard.places.transport import Answer
from batchyard.wire.lines import AnswerFacts
from batchyard.wire.money import Price
from tests.hands import in_hand
from tests.server.door import Caller

__all__ = ["Fault", "Running", "chat_lines"]

# Status and error of an answer, or code and message of a request without one.
Fault = tuple[int | str, object]
_names = itertools.count()


def chat_lines(count: int) -> bytes:
    """An input of distinct chat requests."""
    lines = (
        {
            "custom_id": f"c{number}",
            "method": "POST",
            "url": "/v1/chat/completions",
            "body": {"model": "tiny", "messages": [{"role": "user", "content": f"no {number}"}]},
        }
        for number in range(count)
    )
    return b"".join(json.dumps(line).encode() + b"\n" for line in lines)


class Running:
    """A batch of `count` lines that runs; what it answers is recorded piece by piece."""

    # What a token of each model costs when the batch is validated.
    price: Price | None = None

    def __init__(
        self, caller: Caller, count: int, content: bytes | None = None, **asked: object
    ) -> None:
        self.input_id = caller.upload(chat_lines(count) if content is None else content)
        asked = {"endpoint": "/v1/chat/completions"} | asked | {"input_file_id": self.input_id}
        made = caller.create(**asked)
        self._begin(caller, made.json["id"])

    @classmethod
    def of(cls, caller: Caller, id: str) -> "Running":
        """A batch that was created already, and now runs."""
        running = cls.__new__(cls)
        running._begin(caller, id)
        return running

    def _begin(self, caller: Caller, id: str) -> None:
        self.id, self._door, self._work = id, caller.door, caller.door.work
        self.step()
        self.restart()

    def restart(self) -> bool:
        """Go on with another worker, which begins segments of its own; False where it gets none."""
        now = self._door.yard.now()
        worker = f"w{next(_names)}"
        self._work.bury_all()
        self._work.sign_on(worker, 1e12)
        # Other tests of this door must not find a worker where there is none.
        weakref.finalize(self, self._work.sign_off, worker).atexit = False
        leases = self._work.lease(worker, self.id, "tiny", 1, now)
        if not leases:
            return False
        (lease,) = leases
        self._held = HeldLease(lease)
        self._ledger = Ledger(worker, self._work, self._door.yard.blobs)
        weakref.finalize(self, self._ledger.close).atexit = False
        return True

    def record(
        self, done: dict[int, str], failed: dict[int, Fault] | None = None, *, later: int = 0
    ) -> None:
        """Record answers by index: texts, and faults; as if it were so many seconds later."""
        for index, text in done.items():
            answer = _answer(200, _completion(text))
            facts = AnswerFacts(input_tokens=3, output_tokens=2, total_tokens=5)
            self._held.take(Landing(index, f"c{index}", 1, answer, facts))
        for index, (kind, what) in (failed or {}).items():
            if isinstance(kind, int):
                answer = _answer(kind, {"error": what})
                self._held.take(Landing(index, f"c{index}", 1, answer))
            else:
                fault = transport.Fault(kind, str(what), sent=True)
                self._held.take(Landing(index, f"c{index}", 1, fault=fault))
        assert not self._ledger.keep({self._held: self._held.cut()}, self._door.yard.now() + later)

    def release(self) -> None:
        """Give back the lines without an answer."""
        self._work.bury_all()

    def step(self) -> None:
        """Take the next step of its course, as a worker would: it is validated, or it ends."""
        now = self._door.yard.now()
        course = next(one for one in self._work.look(now).courses if one.id == self.id)
        yard = self._door.yard
        with in_hand(self._work, self.id) as hand:
            desk = Desk(
                self._work,
                yard.blobs,
                yard.limits,
                lambda model: model != "unknown",
                Random(self.id),
                hand,
                lambda _: self.price,
            )
            assert take_step(desk, course, now)


def _answer(status: int, body: object) -> Answer:
    return Answer(status, [(b"x-request-id", b"req_1")], json.dumps(body).encode())


def _completion(text: str) -> dict[str, object]:
    message = {"role": "assistant", "content": text}
    usage = {"prompt_tokens": 3, "completion_tokens": 2, "total_tokens": 5}
    return {"choices": [{"index": 0, "message": message}], "usage": usage}
