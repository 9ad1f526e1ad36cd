"""Upstreams that fail for a while, or for some lines, and lanes that carry lines to them."""

import asyncio
from collections import Counter
from collections.abc import Callable, Sequence
from random import Random
from typing import TypeVar

from msgspec import Struct

from batchyard.flow.landing import Landing
from batchyard.flow.lanes import Gate, Lane, LaneRules
from batchyard.flow.line import Line
from batchyard.flow.routing import Lanes
from batchyard.flow.shards import HeldShard
from batchyard.places.transport import Answer, Fault

__all__ = ["ALL_FAIL", "OWN", "Carried", "Outage", "Upstream", "carry"]

T = TypeVar("T")
JSON = [(b"content-type", b"application/json")]
HTML = [(b"content-type", b"text/html")]


def _error(status: int, message: str, code: str = "") -> Answer:
    body = f'{{"error":{{"message":"{message}","type":"error","param":null,"code":"{code}"}}}}'
    return Answer(status, JSON, body.encode())


# What an upstream does that fails for all; None is silence.
ALL_FAIL: dict[str, Answer | Fault | None] = {
    "500": _error(500, "Connection error."),
    "502": Answer(502, HTML, b"<html><title>502 Bad Gateway</title></html>"),
    "503": _error(503, "Loading model"),
    "504": Answer(504, HTML, b""),
    "520": Answer(520, HTML, b"error code: 520"),
    "404": Answer(404, JSON, b'{"detail":"Not Found"}'),
    "adapter": _error(404, "The model `a` does not exist.", "model_not_found"),
    "reset": Fault("upstream_unreachable", "broke the connection", sent=True),
    "refused": Fault("upstream_unreachable", "No connection", sent=False),
    "certificate": Fault("upstream_unreachable", "The certificate was refused", sent=False),
    "silence": None,
    "redirect": Answer(308, [(b"location", b"https://elsewhere.example/")], b""),
    "page": Answer(200, HTML, b"<!doctype html><title>Sign in</title>"),
    "402": _error(402, "Insufficient credits"),
    "quota": _error(429, "You exceeded your current quota", "insufficient_quota"),
    "401": _error(401, "Incorrect API key provided"),
    "429": _error(429, "Rate limit reached"),
    "dressed": Answer(200, JSON, b'{"error":{"message":"upstream failed"}}'),
}
# What an upstream says to one line, whenever it is asked.
OWN: dict[str, Answer | Fault] = {
    "500": _error(500, "input (3001 tokens) is too large to process"),
    "403": _error(403, "Your input was flagged"),
    "451": _error(451, "Unavailable for legal reasons"),
    "401": _error(401, "Not allowed for this model"),
    "429": _error(429, "Request too large for m: Limit 10000, Requested 13000."),
    "400": _error(400, "messages is not an array"),
    "garbage": Answer(200, JSON, b'{"choices": NaN}'),
    "404": _error(404, "No such file"),
    "reset": Fault("upstream_unreachable", "broke the connection", sent=True),
}


class Outage(Struct, frozen=True):
    """From `start` on, for so many seconds, this share of all calls fails in this way."""

    kind: str
    start: float = 0.0
    seconds: float = float("inf")
    share: float = 1.0

    def holds(self, now: float) -> bool:
        """Whether it is on."""
        return self.start <= now < self.start + self.seconds


class Upstream:
    """Answers after `answer_seconds`, but for its outages, and for the lines it never answers."""

    def __init__(
        self,
        chance: Random,
        outages: Sequence[Outage] = (),
        *,
        answer_seconds: float = 0.1,
        refused: Callable[[int], str | None] = lambda _index: None,
    ) -> None:
        self._chance, self._outages, self._refused = chance, outages, refused
        self._answer_seconds = answer_seconds
        self._loop = asyncio.get_running_loop()
        self.calls: Counter[int] = Counter()
        self.answered: Counter[int] = Counter()
        self.lists = 0
        # Calls that were out at the same time, at most.
        self.most = self._out = 0
        # Calls on old connections get no answer any more.
        self.is_frozen = False

    def send(
        self,
        head: bytes,
        body: bytes,
        *,
        deadline: float,
        body_bytes_max: int,
        done: Callable[[T, Answer | Fault], None],
        ticket: T,
        fresh: bool = False,
    ) -> "Call":
        """Answer a call when its time has come, or fail it."""
        now = self._loop.time()
        seconds, outcome = self._behave(body, now, fresh=fresh)
        if outcome is None or seconds > deadline - now:
            seconds = max(0.0, deadline - now)
            outcome = Fault("request_timeout", "No answer", sent=True)
        self._out += 1
        self.most = max(self.most, self._out)

        def end() -> None:
            self._out -= 1
            if body and isinstance(outcome, Answer) and outcome.body.startswith(b'{"a"'):
                self.answered[int(body)] += 1
            done(ticket, outcome)

        return Call(self, self._loop.call_later(seconds, end))

    def ended(self) -> None:
        """A call was given up."""
        self._out -= 1

    def _behave(
        self, body: bytes, now: float, *, fresh: bool
    ) -> tuple[float, Answer | Fault | None]:
        if not body:
            self.lists += 1
        else:
            self.calls[int(body)] += 1
        for outage in self._outages:
            if outage.holds(now) and self._chance.random() < outage.share:
                return 0.01, ALL_FAIL[outage.kind]
        if not body:
            return 0.01, Answer(200, JSON, b'{"object":"list","data":[]}')
        kind = self._refused(int(body))
        if kind is not None:
            return 0.01, OWN[kind]
        if self.is_frozen and not fresh:
            return 0.0, None
        seconds = self._answer_seconds * (0.5 + self._chance.random())
        return seconds, Answer(200, JSON, b'{"a":%b}' % body)


class Call:
    """A call that has not come back."""

    def __init__(self, upstream: Upstream, timer: asyncio.TimerHandle) -> None:
        self._upstream, self._timer = upstream, timer

    def cancel(self) -> None:
        """Give it up."""
        if not self._timer.cancelled():
            self._upstream.ended()
        self._timer.cancel()


class Carried(Struct):
    """What became of lines: each landed once, or was not back when its time was over."""

    landed: dict[int, Landing]
    seconds: float
    lanes: list[Lane]
    upstreams: list[Upstream]
    reasons: list[str]

    @property
    def burnt(self) -> dict[int, Landing]:
        """Lines that ended without an answer."""
        return {index: one for index, one in self.landed.items() if one.facts is None}


async def carry(
    upstreams: Sequence[Upstream],
    lines: int,
    *,
    chance: Random,
    width: int = 8,
    patience_seconds: float = 86_400.0,
    timeout_seconds: float = 60.0,
) -> Carried:
    """Carry so many lines over a lane to each upstream; ends with the last, or with patience."""
    loop = asyncio.get_running_loop()
    landed, over = dict[int, Landing](), asyncio.Event()
    reasons = list[str]()
    rules = LaneRules(timeout_seconds=timeout_seconds, start=width, ceiling=width)
    shard = HeldShard(lines, 0, lines, first_index=0, line_id_prefix="batch_req_")

    def land(_owner: HeldShard, landing: Landing) -> None:
        assert landing.index not in landed, "a line landed twice"
        landed[landing.index] = landing
        if len(landed) == lines:
            over.set()

    opened = list[Lane]()

    def open_lane(_model: str, route: str) -> Lane:
        lane = Lane(
            upstreams[int(route)],
            lambda _path: b"",
            land,
            rules=rules,
            gate=gate,
            wall=loop.time,
            chance=chance,
            hungry=lambda: reasons.append(lane.reason) if lane.reason else None,
            quiet=lambda: None,
            models_head=lambda: b"",
        )
        opened.append(lane)
        return lane

    async def look() -> None:
        """There is nothing to see."""

    gate = Gate()
    lanes = Lanes(
        lambda _model: [str(at) for at in range(len(upstreams))], open_lane, look, gate=gate
    )
    deadline = loop.time() + patience_seconds
    lanes.offer("m", [Line(shard, at, str(at), "/", b"%d" % at, deadline) for at in range(lines)])
    lanes.pump()
    try:
        async with asyncio.timeout(patience_seconds):
            await over.wait()
    except TimeoutError:
        pass
    seconds = loop.time()
    held = {line.index for line in lanes.withdraw(lambda _line: True, abort=True)}
    assert held | landed.keys() == set(range(lines)), "a line is lost"
    assert not held & landed.keys(), "a line that has landed is still held"
    lanes.close()
    return Carried(landed, seconds, opened, list(upstreams), reasons)
