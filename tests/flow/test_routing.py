"""Which lanes lines take while what the upstreams serve changes."""

import asyncio
from collections.abc import Callable
from random import Random
from typing import TypeVar

from batchyard.flow.landing import Landing
from batchyard.flow.lanes import Gate, Lane, LaneRules, Line
from batchyard.flow.routing import Lanes
from batchyard.flow.shards import HeldShard
from batchyard.places.transport import Answer, Fault
from batchyard.wire.models import with_model
from tests.flow.ways import ANSWER, Way

T = TypeVar("T")


class Recorded(Way):
    """An upstream that answers at once, and notes what it was sent."""

    def __init__(self) -> None:
        super().__init__(lambda: (0.0, ANSWER))
        self.heads: list[bytes] = []
        self.bodies: list[bytes] = []

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
    ) -> Way:
        self.heads.append(head)
        self.bodies.append(body)
        return super().send(
            head, body, deadline=deadline, body_bytes_max=body_bytes_max, done=done, ticket=ticket
        )


class Yard:
    """Lanes to two upstreams; `serving` names those of the model m, and a test changes it."""

    def __init__(self) -> None:
        self.serving: list[str] = []
        self.place = b"/old"
        self.ways = {"a": Recorded(), "b": Recorded()}
        self.landed: asyncio.Queue[int] = asyncio.Queue()
        self.gate = Gate()
        self.shard = HeldShard(9, 0, 9, first_index=0, line_id_prefix="batch_req_")

        async def look() -> None:
            pass

        self.lanes = Lanes(
            lambda _model: self.serving,
            self._open,
            look,
            gate=self.gate,
            lack_of=lambda model: ("a, b", f"upstream_lacks_model: '{model}'"),
        )

    def _open(self, _model: str, name: str) -> Lane:
        def land(_shard: HeldShard, landing: Landing) -> None:
            self.landed.put_nowait(landing.index)

        return Lane(
            self.ways[name],
            lambda path: b"POST %b%b " % (self.place, path.encode()),
            land,
            rules=LaneRules(),
            gate=self.gate,
            wall=asyncio.get_running_loop().time,
            chance=Random(1),
            hungry=lambda: None,
            quiet=lambda: None,
            rewrite=(lambda body: with_model(body, "n")) if name == "b" else None,
        )

    def lines(self, *numbers: int) -> list[Line]:
        """Lines of the model m."""
        deadline = asyncio.get_running_loop().time() + 1e6
        body = b'{"model":"m"}'
        return [Line(self.shard, n, str(n), "/x", body, deadline) for n in numbers]


async def test_lines_wait_in_hand_until_their_model_is_served() -> None:
    """They count as held, can be taken back, and say why they wait; then they go where they can."""
    yard = Yard()
    lanes = yard.lanes
    assert lanes.appetite("m") == 0
    lanes.offer("m", yard.lines(0, 1, 2))
    lanes.pump()
    assert (lanes.held, lanes.in_flight, lanes.owners()) == (3, 0, {yard.shard})
    assert lanes.reasons == {("m", "a, b"): "upstream_lacks_model: 'm'"}
    (taken,) = lanes.withdraw(lambda line: line.index == 1, abort=False)
    assert (taken.index, lanes.held) == (1, 2)
    await lanes.look_around()
    assert lanes.held == 2
    yard.serving = ["a"]
    await lanes.look_around()
    assert {await yard.landed.get(), await yard.landed.get()} == {0, 2}
    assert (lanes.held, lanes.reasons, yard.ways["b"].bodies) == (0, {}, [])
    lanes.close()


async def test_lines_leave_a_lane_whose_upstream_serves_them_no_more() -> None:
    """What has not been sent goes to the other, under the name that the model has there."""
    yard = Yard()
    yard.serving = ["a"]
    yard.gate.held = True
    yard.lanes.offer("m", yard.lines(0, 1))
    yard.serving = ["b"]
    yard.gate.held = False
    yard.lanes.reroute()
    assert {await yard.landed.get(), await yard.landed.get()} == {0, 1}
    assert yard.ways["a"].bodies == []
    assert yard.ways["b"].bodies == [b'{"model":"n"}'] * 2
    yard.lanes.close()


async def test_a_base_url_that_was_mended_is_used_from_then_on() -> None:
    """Heads are written once for each path, and anew where the upstream is somewhere else."""
    yard = Yard()
    yard.serving = ["a"]
    yard.lanes.offer("m", yard.lines(0))
    yard.lanes.pump()
    await yard.landed.get()
    yard.place = b"/v1"
    yard.lanes.reroute()
    yard.lanes.offer("m", yard.lines(1))
    yard.lanes.pump()
    await yard.landed.get()
    assert [head.split()[1] for head in yard.ways["a"].heads] == [b"/old/x", b"/v1/x"]
    assert yard.ways["a"].bodies == [b'{"model":"m"}'] * 2
    yard.lanes.close()
