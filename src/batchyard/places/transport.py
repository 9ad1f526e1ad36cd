"""The way to one upstream and back: many HTTP/1.1 calls at once, each with a certain end."""

import asyncio
import math
import ssl
from collections import OrderedDict
from collections.abc import Callable
from typing import Any, TypeVar

from batchyard.places.answer import Ending
from batchyard.places.byte_budget import ByteBudget
from batchyard.places.connection import Answer, Call, Connection, Fault
from batchyard.places.masking import Mask
from batchyard.places.request_head import BaseUrl, head_for
from batchyard.places.reuse import Resending, Reuse
from batchyard.places.unreachable import not_http_hint, why_unreachable

__all__ = ["Answer", "Call", "Fault", "Resending", "Transport", "head_for"]

T = TypeVar("T")

CONNECTS_MAX = 256
# Deadlines are looked after together; when many pass at once this bounds how often all are seen.
SWEEP_PAUSE_SECONDS = 0.05


class Transport:
    """Keep-alive connections to one upstream, one per call in flight, reused last in first out.

    Each call ends once: with an answer, a fault, or by being cancelled. No redirect is followed
    and no answer is judged. A call is repeated in one case only, and once: it was sent on a
    connection that had served before, and that the upstream closed before it read the request.
    `on_retry` hears of it with the call's ticket, for it is one call more.
    With `address`, connections go there; what the certificate must name is the URL's host.
    Answers too large for the `budget` wait at the upstream, and their deadlines with them; all
    transports of a process may share one.
    """

    def __init__(
        self,
        base_url: str,
        *,
        address: str | None = None,
        ssl_context: ssl.SSLContext | None = None,
        connect_timeout_seconds: float = 10.0,
        idle_timeout_seconds: float = 30.0,
        idle_connections_max: int = 8192,
        headers_bytes_max: int = 65_536,
        budget: ByteBudget | None = None,
        resending: Resending | None = None,
    ) -> None:
        self._reuse = Reuse(resending or Resending(), idle_timeout_seconds)
        self.on_retry: Callable[[Any], None] = _nothing
        # What must not be told on of our requests, in faults and in answers but successes: to
        # search those would cost more than all else that is done with them.
        self.mask = Mask({})
        self.budget = budget or ByteBudget()
        self._url = BaseUrl.parse(base_url)
        self._address = address or self._url.host
        self._ssl_context = ssl_context
        if self._url.scheme == "http":
            self._ssl_context = None
        elif ssl_context is None:
            self._ssl_context = ssl.create_default_context()
        self._connect_timeout_seconds = connect_timeout_seconds
        self._idle_connections_max = idle_connections_max
        self._headers_bytes_max = headers_bytes_max

        self._loop: asyncio.AbstractEventLoop | None = None
        self._is_closed = False
        self._waiting: OrderedDict[Call, None] = OrderedDict()
        self._waiting_anew: OrderedDict[Call, None] = OrderedDict()
        self._attempts: set[asyncio.Task[Connection | Fault]] = set()
        self._open: set[Connection] = set()
        # The last to come is the first to go; those that have closed since are passed over.
        self._idle: list[Connection] = []
        self._fetches: set[asyncio.Future[Answer | Fault]] = set()
        self._all_closed: asyncio.Future[None] | None = None
        self._sweep_at = math.inf
        self._sweep_timer: asyncio.TimerHandle | None = None

    @property
    def in_flight(self) -> int:
        """Calls that have not ended, whether they have a connection yet or not."""
        return len(self._calls())

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
    ) -> Call:
        """Start a call; `done` hears of its end later, never from within this function.

        It is given the ticket too, by which the caller knows the call again. The deadline, of the
        loop's clock, is for everything: a connection, sending, the answer. A `fresh` call goes
        over a connection of its own that has served nobody, whatever others are idle.
        """
        loop = self._loop or self._bind()
        call = Call(head, body, body_bytes_max, deadline, done, ticket, self)
        if deadline < self._sweep_at:
            self._sweep_by(deadline)
        if fresh:
            self._waiting_anew[call] = None
            self._connect_for_the_waiting()
            return call
        idle = self._idle
        while idle:
            connection = idle.pop()
            if connection.is_open:
                connection.started = loop.time()
                connection.start(call)
                return call
        self._waiting[call] = None
        self._connect_for_the_waiting()
        return call

    async def fetch(
        self, head: bytes, body: bytes = b"", *, timeout_seconds: float, body_bytes_max: int
    ) -> Answer | Fault:
        """Make one call and wait for its end; cancelled when the transport is closed."""
        loop = asyncio.get_running_loop()
        ended: asyncio.Future[Answer | Fault] = loop.create_future()
        call = self.send(
            head,
            body,
            deadline=loop.time() + timeout_seconds,
            body_bytes_max=body_bytes_max,
            done=_settle,
            ticket=ended,
        )
        self._fetches.add(ended)
        try:
            return await ended
        finally:
            self._fetches.discard(ended)
            call.cancel()

    async def aclose(self) -> None:
        """Drop all calls without a word, close all connections, and wait until they are closed."""
        self._is_closed = True
        self._loop = None
        if self._sweep_timer is not None:
            self._sweep_timer.cancel()
        for calls in (self._waiting, self._waiting_anew, self._idle):
            calls.clear()
        for ended in self._fetches:
            ended.cancel()
        for attempt in self._attempts:
            attempt.cancel()
        for connection in tuple(self._open):
            connection.abort()
        await asyncio.gather(*self._attempts, return_exceptions=True)
        if self._all_closed is None:
            self._all_closed = asyncio.get_running_loop().create_future()
        if self._open:
            await self._all_closed

    def _bind(self) -> asyncio.AbstractEventLoop:
        if self._is_closed:
            raise RuntimeError("The transport is closed.")
        self._loop = asyncio.get_running_loop()
        return self._loop

    def opened(self, connection: Connection) -> None:
        """Keep the connection in sight, unless it comes too late."""
        self._open.add(connection)
        if self._is_closed:
            connection.abort()

    def answered(self, connection: Connection, call: Call, answer: Answer) -> None:
        """Give the connection to the next who waits, or keep it, then tell the caller."""
        if connection.served == 1 or self._reuse.watches:
            now = (self._loop or self._bind()).time()
            if not self._reuse.may_serve_again(connection.served, now):
                connection.abort()
        if connection.is_open:
            if self._waiting:
                connection.idle_since = math.inf
                connection.start(self._waiting.popitem(last=False)[0])
            else:
                self._keep(connection)
        call.done(call.ticket, self.mask.answer(answer) if answer.status >= 300 else answer)

    def failed(self, call: Call, fault: Fault, ending: Ending) -> None:
        """Tell the caller, or once more try a request that was sent into a closed connection."""
        if ending is not Ending.PLAIN and not call.was_retried and self._was_stale(call, ending):
            call.was_retried = True
            call.connection = None
            self.on_retry(call.ticket)
            self._waiting_anew[call] = None
            self._connect_for_the_waiting()
        else:
            call.done(call.ticket, self.mask.fault(fault))

    def why_not_http(self, came: bytes, error: Exception) -> str:
        """What came instead of the head of an answer, or that its body is not framed as it says."""
        if not came:
            return f"The answer is not HTTP: {error}."
        begin = self.mask.excerpt(came)
        return f"The answer is not HTTP ({error}); it begins with '{begin}'.{not_http_hint(came)}"

    def closed(self, connection: Connection) -> None:
        """Forget the connection."""
        self._open.discard(connection)
        if self._all_closed is not None and not self._open and not self._all_closed.done():
            self._all_closed.set_result(None)

    def reserve(self, connection: Connection, count: int) -> bool:
        """Ask for memory for a large answer."""
        if self.budget.reserve(connection, count):
            return True
        connection.idle_since = (self._loop or self._bind()).time()
        return False

    def release(self, connection: Connection, count: int) -> None:
        """Give memory back."""
        self.budget.release(connection, count)

    def resumed(self, connection: Connection, call: Call) -> None:
        """Give the call the time back that it waited for memory; the upstream had no part in it."""
        if self._loop is None:
            return  # All of it is being closed.
        call.deadline += self._loop.time() - connection.idle_since
        if call.deadline < self._sweep_at:
            self._sweep_by(call.deadline)

    def withdraw(self, call: Call) -> None:
        """Drop a call and its connection; harmless when it has ended."""
        self._forget(call)
        # It may be on its way to be told of its end.
        call.done = _to_nobody

    def _keep(self, connection: Connection) -> None:
        if len(self._idle) >= self._idle_connections_max:
            connection.abort()
            return
        now = (self._loop or self._bind()).time()
        connection.idle_since = now
        self._idle.append(connection)
        kept_until = now + self._reuse.kept_seconds(now)
        if kept_until < self._sweep_at:
            self._sweep_by(kept_until)

    def _was_stale(self, call: Call, ending: Ending) -> bool:
        """Whether a connection was closed before it was asked."""
        connection, now = call.connection, (self._loop or self._bind()).time()
        assert connection is not None
        idle_seconds, seconds = connection.started - connection.idle_since, now - connection.started
        was_stale = self._reuse.was_stale(ending, idle_seconds, seconds, now)
        # How long others are kept may have changed.
        self._sweep_by(now)
        return was_stale

    def _calls(self) -> list[Call]:
        """The calls under way, wherever they are."""
        sent = [one.call for one in self._open if one.call is not None]
        return [*self._waiting, *self._waiting_anew, *sent]

    def _forget(self, call: Call) -> None:
        self._waiting.pop(call, None)
        self._waiting_anew.pop(call, None)
        if call.connection is not None and call.connection.call is call:
            call.connection.abort()

    def _connect_for_the_waiting(self) -> None:
        wanted = min(CONNECTS_MAX, len(self._waiting) + len(self._waiting_anew))
        while len(self._attempts) < wanted:
            attempt = (self._loop or self._bind()).create_task(self._connect())
            self._attempts.add(attempt)
            attempt.add_done_callback(self._connect_ended)

    async def _connect(self) -> Connection | Fault:
        # Both event loops switch Nagle's algorithm off without being asked.
        try:
            async with asyncio.timeout(self._connect_timeout_seconds):
                _, connection = await asyncio.get_running_loop().create_connection(
                    lambda: Connection(self, self._headers_bytes_max),
                    self._address,
                    self._url.port,
                    ssl=self._ssl_context,
                    server_hostname=self._url.host if self._ssl_context else None,
                )
        # UnicodeError is what a name that DNS cannot carry raises.
        except (OSError, UnicodeError) as error:
            why = why_unreachable(error, self._url, self._connect_timeout_seconds)
            return Fault("upstream_unreachable", why, sent=False)
        return connection

    def _connect_ended(self, attempt: asyncio.Task[Connection | Fault]) -> None:
        self._attempts.discard(attempt)
        if attempt.cancelled() or self._is_closed:
            return
        outcome = attempt.result()
        if isinstance(outcome, Connection) and not outcome.is_open:
            detail = f"{self._url.authority} closed the connection at once."
            outcome = Fault("upstream_unreachable", detail, sent=False)
        waiting = self._waiting_anew or self._waiting
        if isinstance(outcome, Fault):
            if waiting:
                call, _ = waiting.popitem(last=False)
                fault = Fault(outcome.code, outcome.detail, sent=call.was_retried)
                call.done(call.ticket, fault)
        elif waiting:
            outcome.start(waiting.popitem(last=False)[0])
        else:
            self._keep(outcome)
        self._connect_for_the_waiting()

    def _sweep_by(self, when: float) -> None:
        if self._sweep_timer is not None:
            self._sweep_timer.cancel()
        self._sweep_at = when
        self._sweep_timer = (self._loop or self._bind()).call_at(when, self._sweep)

    def _sweep(self) -> None:
        loop = self._loop or self._bind()
        now = loop.time()
        self._sweep_at = math.inf
        self._sweep_timer = None
        # Those that wait for memory have their time when they go on.
        calls = [
            one for one in self._calls() if one.connection is None or not one.connection.is_paused
        ]
        for call in calls:
            if call.deadline <= now:
                status = call.connection.status if call.connection is not None else 0
                detail = "No complete answer before the deadline."
                fault = Fault("request_timeout", detail, call.sent, status)
                self._forget(call)
                loop.call_soon(self._tell, call, fault)
        kept_seconds = self._reuse.kept_seconds(now)
        overdue_since = now - kept_seconds
        for connection in self._idle:
            if connection.idle_since <= overdue_since:
                connection.abort()
        self._idle = [one for one in self._idle if one.is_open]
        ahead = [call.deadline for call in calls if call.deadline > now]
        ahead += [one.idle_since + kept_seconds for one in self._idle]
        if ahead:
            self._sweep_by(max(min(ahead), now + SWEEP_PAUSE_SECONDS))

    def _tell(self, call: Call, fault: Fault) -> None:
        if not self._is_closed:
            call.done(call.ticket, fault)


def _settle(ended: asyncio.Future[Answer | Fault], outcome: Answer | Fault) -> None:
    if not ended.done():
        ended.set_result(outcome)


def _nothing(_ticket: object) -> None:
    pass


def _to_nobody(_ticket: object, _outcome: Answer | Fault) -> None:
    pass
