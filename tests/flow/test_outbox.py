"""The pump, over a real store, against receivers that take, refuse, hang and go away."""

import asyncio
import base64
import contextlib
import time
from collections.abc import AsyncIterator, Callable, Iterator
from pathlib import Path
from random import Random
from typing import Any

import msgspec
import pytest
from openai import InvalidWebhookSignatureError, OpenAI

from batchyard.flow.outbox import Pump
from batchyard.places.clock import Clock
from batchyard.places.database import BlockingThread
from batchyard.places.posting import Address, Posting
from batchyard.places.store import Outbox, Records, Webhooks, Work, open_store
from batchyard.places.store.outbox import DeliveryRow
from batchyard.places.store.rows import NewBatch, NewShard, WebhookRow
from batchyard.rules.telling import GIVE_UP_SECONDS
from batchyard.wire.objects import BatchErrors, BatchStatus
from tests.hands import in_hand
from tests.server.receiver import Receiver

SECRET = "whsec_" + base64.b64encode(b"s" * 24).decode()
NOW = int(time.time())
SDK = OpenAI(api_key="none", base_url="http://127.0.0.1:9")


class House:
    """A store with one project, and a pump over it whose clock is moved by hand."""

    def __init__(self, folder: Path) -> None:
        self.store = open_store(f"sqlite:///{folder / 'house.sqlite'}")
        self.work, self.records = Work(self.store), Records(self.store)
        self.webhooks, self.outbox = Webhooks(self.store), Outbox(self.store)
        self.now = float(NOW)
        self.ended = 0
        self.marked = asyncio.Event()

    def listen(self, url: str, *types: str, id: str = "we_1", project: str = "p") -> None:
        """Make an endpoint."""
        row = WebhookRow(
            id=id,
            name="x",
            url=url,
            event_types=types or ("batch.completed",),
            secret=SECRET,
            created_at=NOW,
        )
        assert self.webhooks.add(project, row, 100)

    def end(self, status: BatchStatus = "completed", project: str = "p") -> str:
        """A batch that comes to this end."""
        self.ended += 1
        id = f"batch_{self.ended}"
        self.records.add_batch(
            NewBatch(
                id=id,
                project_id=project,
                endpoint="/v1/embeddings",
                input_file_id="file-none",
                completion_window="24h",
                created_at=NOW,
                expires_at=NOW + 86_400,
                line_id_prefix="batch_req_",
            )
        )
        course = next(one for one in self.work.look(NOW).courses if one.id == id)
        if status == "failed":
            with in_hand(self.work, id) as hand:
                assert self.work.fail(course, hand, BatchErrors(data=()), NOW)
            return id
        with in_hand(self.work, id) as hand:
            shards = [NewShard("m", 0, 1, 0, 1, 1, b"\0")]
            assert self.work.populate(course, hand, "m", shards, NOW)
        course = msgspec.structs.replace(course, status="in_progress")
        with in_hand(self.work, id) as hand:
            assert self.work.finish(course, hand, status, {}, NOW)
        return id

    def log(self) -> list[DeliveryRow]:
        return self.outbox.log()

    def one(self) -> DeliveryRow:
        (row,) = self.outbox.log()
        return row

    @contextlib.asynccontextmanager
    async def pumping(
        self, *, timeout_seconds: float = 5.0, allowed: Callable[[Address], bool] | None = None
    ) -> AsyncIterator[Pump]:
        """A pump that runs, as long as it is looked at."""
        house = self

        class Watched(Outbox):
            def mark(self, *asked: Any) -> bool:
                moved = super().mark(*asked)
                loop.call_soon_threadsafe(house.marked.set)
                return moved

        loop = asyncio.get_running_loop()
        thread = BlockingThread()
        posting = Posting(allowed or (lambda _: True), timeout_seconds=timeout_seconds)
        clock = Clock(wall=lambda: self.now, steady=lambda: self.now)
        pump = Pump(Watched(self.store), posting, thread, clock, Random(1))
        running = asyncio.create_task(pump.run())
        try:
            yield pump
        finally:
            running.cancel()
            await asyncio.gather(running, return_exceptions=True)
            thread.close()

    async def until(self, met: Callable[[], bool]) -> None:
        """Look again after each mark."""
        async with asyncio.timeout(30):
            while not met():
                self.marked.clear()
                if not met():
                    await self.marked.wait()


@pytest.fixture
def house(tmp_path: Path) -> Iterator[House]:
    one = House(tmp_path)
    yield one
    one.store.close()


@pytest.fixture
def receiver() -> Iterator[Receiver]:
    one = Receiver()
    yield one
    one.close()


async def next_of(receiver: Receiver) -> Any:
    """The next delivery, awaited."""
    return await asyncio.to_thread(receiver.next)


@pytest.mark.parametrize("status", ["completed", "failed", "expired", "cancelled"])
async def test_an_end_is_told_once(house: House, receiver: Receiver, status: BatchStatus) -> None:
    """The client accepts it; it names the batch and nothing else of it."""
    house.listen(receiver.url, f"batch.{status}", "response.completed")
    id = house.end(status)
    async with house.pumping():
        await house.until(lambda: house.one().state == "delivered")
    came = receiver.next()
    assert msgspec.json.decode(came.body) == {
        "id": "evt_" + came.body.decode().partition("evt_")[2][:32],
        "object": "event",
        "type": f"batch.{status}",
        "created_at": NOW,
        "data": {"id": id},
    }
    assert came.headers["webhook-id"] == house.one().id
    assert came.headers["content-type"] == "application/json"
    assert came.headers["user-agent"].startswith("batchyard/")
    assert (house.one().attempts, house.one().status_code, house.one().due_at) == (1, 200, None)
    assert receiver.came.empty()


def test_only_those_who_asked_are_told(house: House) -> None:
    """Other types, other projects and disabled endpoints hear nothing; nothing is written."""
    house.listen("https://a.example/", "batch.failed", id="we_other_type")
    house.listen("https://b.example/", id="we_other_project", project="q")
    house.end()
    assert house.log() == []
    house.listen("https://c.example/", id="we_1")
    house.listen("https://d.example/", id="we_2")
    house.end()
    assert {"we_1", "we_2"} == {row.endpoint_id for row in house.log()}
    assert len({row.id for row in house.log()}) == 2


async def test_the_same_id_until_it_is_taken(house: House, receiver: Receiver) -> None:
    """Whatever was answered before: the timestamp is new, the id and the body are not."""
    receiver.answers = [500, 302, (429, {"retry-after": "30"}), 200]
    house.listen(receiver.url)
    house.end()
    came = []
    async with house.pumping() as pump:
        for attempt in range(1, 5):
            came.append(await next_of(receiver))
            await house.until(lambda attempt=attempt: house.one().attempts == attempt)  # type: ignore[misc]
            row = house.one()
            if row.due_at is not None:
                assert row.due_at > house.now
                assert row.status_code != 429 or row.due_at == house.now + 30
                house.now = row.due_at
                pump.ring()
    assert house.one().state == "delivered"
    assert len({one.headers["webhook-id"] for one in came}) == 1
    assert len({one.headers["webhook-timestamp"] for one in came}) == 4
    assert len({one.body for one in came}) == 1


async def test_it_is_given_up_after_72_hours_and_resent_by_hand(
    house: House, receiver: Receiver, caplog: pytest.LogCaptureFixture
) -> None:
    """It is logged as given up, as each failure before is, and a replay makes one attempt."""
    receiver.answers = [500]
    house.listen(receiver.url)
    batch = house.end()
    house.now = NOW + GIVE_UP_SECONDS - 1.0
    async with house.pumping() as pump:
        await house.until(lambda: house.one().attempts == 1)
        house.now = house.one().due_at or 0.0
        pump.ring()
        await house.until(lambda: house.one().state == "given_up")
        assert (house.one().attempts, house.one().status_code, house.one().due_at) == (2, 500, None)
        receiver.answers = [204]
        assert house.outbox.replay([batch], house.now) == 1
        pump.ring()
        await house.until(lambda: house.one().state == "delivered")
    assert house.one().attempts == 3
    said = [record.getMessage() for record in caplog.records]
    assert [one.split()[0] for one in said] == ["webhook_failed", "webhook_given_up"]
    assert "attempt=1 status=500 again_in_seconds=1" in said[0]
    assert receiver.url not in caplog.text


async def test_gone_disables_the_endpoint(house: House, receiver: Receiver) -> None:
    """410: nothing more is sent there, until somebody changes the endpoint."""
    receiver.answers = [410]
    house.listen(receiver.url)
    house.end()
    async with house.pumping() as pump:
        await house.until(lambda: house.one().state == "given_up")
        (row,) = house.webhooks.every()
        assert (row.disabled_at, row.disabled_because) == (NOW, "410 Gone")
        house.end()
        assert len(house.log()) == 1
        receiver.answers = [200]
        house.webhooks.change("p", "we_1", {}, NOW + 1)
        house.end()
        pump.ring()
        await house.until(lambda: {row.state for row in house.log()} == {"given_up", "delivered"})


async def test_a_hanging_receiver_holds_nobody_up(house: House, receiver: Receiver) -> None:
    """Batches end, and others are told; the attempt ends in time and counts as failed."""
    hanging = Receiver()
    hanging.hang()
    house.listen(hanging.url, id="we_slow")
    for _ in range(40):
        house.end()
    house.listen(receiver.url, id="we_quick")
    last = house.end()
    async with house.pumping(timeout_seconds=0.3):
        came = await next_of(receiver)
        assert msgspec.json.decode(came.body)["data"]["id"] == last
        await house.until(lambda: any(row.fault for row in house.log()))
    hanging.close()
    fault = next(row for row in house.log() if row.fault)
    assert (fault.fault or "").startswith("timeout: ")
    assert (fault.endpoint_id, fault.state) == ("we_slow", "pending")


async def test_a_project_whose_receivers_hang_holds_no_other_up(
    house: House, receiver: Receiver
) -> None:
    """Twenty endpoints that never answer, with fifteen ends for each, before another's only one."""
    hanging = Receiver()
    hanging.hang()
    for number in range(20):
        house.listen(f"{hanging.url}/{number}", id=f"we_slow_{number}")
    for _ in range(15):
        house.end()
    house.listen(receiver.url, id="we_other", project="q")
    last = house.end(project="q")
    # Nothing of what hangs ends before the test does.
    async with house.pumping(timeout_seconds=300.0):
        came = await next_of(receiver)
        assert msgspec.json.decode(came.body)["data"]["id"] == last
    hanging.close()


async def test_nobody_there_is_a_fault_in_the_log(house: House) -> None:
    """And it is tried again."""
    gone = Receiver()
    gone.close()
    house.listen(gone.url)
    house.end()
    async with house.pumping():
        await house.until(lambda: house.one().attempts == 1)
    row = house.one()
    assert (row.state, row.status_code) == ("pending", None)
    assert (row.fault or "").startswith("unreachable: ")


async def test_an_address_that_is_private_now_is_refused(house: House, receiver: Receiver) -> None:
    """What a name resolves to counts at each delivery; nothing is sent."""
    house.listen(receiver.url)
    house.end()
    seen: list[Address] = []

    def refuse(address: Address) -> bool:
        seen.append(address)
        return False

    async with house.pumping(allowed=refuse):
        await house.until(lambda: house.one().attempts == 1)
    assert (house.one().fault or "").startswith("address_refused: ")
    assert [one.ip for one in seen] == ["127.0.0.1"]
    assert receiver.came.empty()


async def test_both_secrets_sign_while_they_overlap(house: House, receiver: Receiver) -> None:
    """Then only the new one; a body that was altered, or is sent again late, is refused."""
    new = "whsec_" + base64.b64encode(b"n" * 24).decode()
    # The client looks at its own clock: it takes what was signed within five minutes.
    now = int(time.time())
    until = now + 60
    house.listen(receiver.url)
    changed = {"secret": new, "old_secret": SECRET, "old_secret_until": until}
    house.webhooks.change("p", "we_1", changed, now)
    house.now = until - 1.0
    house.end()
    async with house.pumping() as pump:
        both = await next_of(receiver)
        house.now = until + 1.0
        house.end()
        pump.ring()
        alone = await next_of(receiver)
    for came, secret in ((both, SECRET), (both, new), (alone, new)):
        assert SDK.webhooks.unwrap(came.body, came.headers, secret=secret).type == "batch.completed"
    late = {**both.headers, "webhook-timestamp": str(until - 400)}
    for body, headers, secret in (
        (alone.body, alone.headers, SECRET),
        (both.body + b" ", both.headers, new),
        (both.body, late, new),
    ):
        with pytest.raises(InvalidWebhookSignatureError):
            SDK.webhooks.unwrap(body, headers, secret=secret)


async def test_two_servers_tell_it_once(house: House, receiver: Receiver) -> None:
    """Whoever takes a delivery in hand has it alone."""
    house.listen(receiver.url)
    ends = 12
    async with house.pumping() as one, house.pumping() as other:
        for _ in range(ends):
            house.end()
            one.ring()
            other.ring()
        await house.until(lambda: {row.state for row in house.log()} == {"delivered"})
    came = [receiver.next().headers["webhook-id"] for _ in range(ends)]
    assert sorted(came) == sorted(row.id for row in house.log())
    assert receiver.came.empty()
    assert {row.attempts for row in house.log()} == {1}


def test_what_is_in_hand_is_nobody_elses(house: House) -> None:
    """Until its time is over, or a server starts that is alone."""
    house.listen("https://a.example/")
    batch = house.end()
    take, free = house.outbox.take, house.outbox.free
    due = house.outbox.due(NOW, 9, but=(), busy=())
    assert [take(due, NOW, NOW + 60), take(due, NOW, NOW + 60)] == [due, []]
    assert (house.one().state, house.one().due_at) == ("sending", NOW + 60)
    assert house.outbox.due(NOW + 59, 9, but=(), busy=()) == []
    assert house.outbox.replay([batch], NOW) == 0
    assert take(house.outbox.due(NOW + 60, 9, but=(), busy=()), NOW + 60, NOW + 120) == due
    free(NOW + 61)
    assert (house.one().state, house.one().due_at) == ("pending", NOW + 61)


def test_a_deleted_endpoint_is_told_nothing(house: House) -> None:
    """What waited for it is given up, and a replay does not wake it."""
    house.listen("https://a.example/")
    batch = house.end()
    assert house.webhooks.remove("p", "we_1")
    assert (house.one().state, house.one().fault) == ("given_up", "endpoint_deleted")
    assert house.outbox.replay([batch], NOW) == 0


def test_what_was_told_is_forgotten(house: House) -> None:
    """Old events go with their deliveries; what still waits stays."""
    house.listen("https://a.example/")
    house.end()
    house.outbox.forget(NOW + 1, NOW)
    assert len(house.log()) == 1
    house.webhooks.remove("p", "we_1")
    house.outbox.forget(NOW, NOW)
    assert len(house.log()) == 1
    house.outbox.forget(NOW + 1, NOW)
    assert house.log() == []


def test_a_secret_that_signs_no_more_is_dropped(house: House) -> None:
    """Not before its time is over."""
    house.listen("https://a.example/")
    changed = {"old_secret": "whsec_b2xk", "old_secret_until": NOW + 60}
    house.webhooks.change("p", "we_1", changed, NOW)
    kept = []
    for now in (NOW + 59, NOW + 60):
        house.outbox.forget(0, now)
        kept += [one.old_secret for one in house.webhooks.every()]
    assert kept == ["whsec_b2xk", None]
