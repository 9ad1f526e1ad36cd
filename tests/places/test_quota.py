"""Enqueued tokens: held in the transaction that validates, given back in the one that ends."""

from collections.abc import Iterator

import msgspec
import pytest

from batchyard.places.store import Records, Work, open_store
from batchyard.places.store.opening import Store
from batchyard.places.store.rows import AskedModel, Course, Headroom, NewBatch, NewShard, Shortage
from batchyard.places.store.schema import batch_models, metadata
from batchyard.wire.objects import BatchStatus
from tests.hands import in_hand

PROJECT = "proj_q"
NOW = 1_700_000_000


class House:
    """A store, and batches that live in it without a worker."""

    def __init__(self, store: Store) -> None:
        self.store, self.work, self.records = store, Work(store), Records(store)

    def create(self, name: str, window: int = 100, project: str = PROJECT) -> Course:
        """A batch that is to be validated."""
        self.records.add_batch(
            NewBatch(
                id=name,
                project_id=project,
                endpoint="/v1/embeddings",
                input_file_id="file-x",
                completion_window="24h",
                created_at=NOW,
                expires_at=NOW + window,
                line_id_prefix="batch_req_0",
            )
        )
        return next(one for one in self.work.look(NOW).courses if one.id == name)

    def enter(
        self, name: str, window: int = 100, project: str = PROJECT, **tokens: int
    ) -> bool | tuple[Shortage, ...]:
        """Create a batch and validate it."""
        return self.populate(self.create(name, window, project), tokens)

    def populate(
        self, course: Course, tokens: dict[str, int], *, may_wait: bool = True
    ) -> bool | tuple[Shortage, ...]:
        """Validate a batch that asks for these tokens."""
        shards = [NewShard(model, 0, 10, 0, 1, 1, b"\0") for model in tokens]
        asked = [AskedModel(model, 1, count) for model, count in tokens.items()]
        with in_hand(self.work, course.id) as hand:
            return self.work.populate(
                course, hand, None, shards, NOW, asked=asked, may_wait=may_wait
            )

    def end(self, name: str, status: BatchStatus = "completed") -> None:
        """Bring a batch to its end."""
        with self.store.reading() as connection:
            row = connection.exec_driver_sql(
                "select status, project_id from batches where id = ?", (name,)
            ).one()
        course = msgspec.structs.replace(
            self._course, id=name, status=row.status, project_id=row.project_id
        )
        with in_hand(self.work, name) as hand:
            assert self.work.finish(course, hand, status, {}, NOW)

    @property
    def _course(self) -> Course:
        return Course(
            id="",
            project_id=PROJECT,
            status="in_progress",
            endpoint="/v1/embeddings",
            input_file_id="file-x",
            created_at=NOW,
            expires_at=NOW,
            populated=True,
            total=1,
            completed=0,
            failed=0,
            open_shards=1,
            output_expires_after_seconds=None,
            line_id_prefix="",
            finalizing_at=None,
        )

    def admitted(self) -> list[str]:
        """The batches that give shards out."""
        return sorted({one.batch_id for one in self.work.waiting(NOW)})

    def of(self, model: str) -> Headroom:
        """What is used of a model's quota."""
        return next(one for one in self.records.headroom(PROJECT) if one.model == model)


@pytest.fixture(scope="module")
def store(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Store]:
    opened = open_store(f"sqlite:///{tmp_path_factory.mktemp('quota')}/store.sqlite")
    yield opened
    opened.close()


@pytest.fixture
def house(store: Store) -> House:
    with store.writing() as connection:
        for table in reversed(metadata.sorted_tables):
            connection.execute(table.delete())
    return House(store)


def test_without_a_quota_nobody_waits(house: House) -> None:
    """Tokens are held all the same, so that a quota set later knows of them."""
    assert house.enter("a", m=10**12) is True
    assert house.admitted() == ["a"]
    assert (house.of("m").limit, house.of("m").used) == (None, 10**12)


def test_a_batch_waits_until_its_tokens_are_free(house: House) -> None:
    """And gets them in the transaction in which another gives them back."""
    house.records.set_limit(PROJECT, "m", 100, NOW)
    house.enter("a", m=60)
    house.enter("b", m=50)
    assert house.admitted() == ["a"]
    assert (house.of("m").used, [one.batch_id for one in house.of("m").waiting]) == (60, ["b"])
    house.end("a")
    assert house.admitted() == ["b"]
    assert house.of("m").used == 50
    house.end("b", "expired")
    assert house.records.headroom(PROJECT) == [Headroom(model="m", limit=100)]


def test_nobody_overtakes_who_waits_for_the_same_model(house: House) -> None:
    """A large batch is not starved by small ones; other models are no concern of it."""
    house.records.set_limit(PROJECT, "*", 100, NOW)
    house.enter("a", m=60)
    house.enter("large", m=90)
    house.enter("small", m=10)
    house.enter("other", n=100)
    assert house.admitted() == ["a", "other"]
    house.end("a")
    assert house.admitted() == ["large", "other", "small"]


def test_all_models_of_a_batch_are_held_together(house: House) -> None:
    """One model that is short keeps the whole batch out, and it holds nothing."""
    house.records.set_limit(PROJECT, "n", 5, NOW)
    house.enter("a", n=5)
    house.enter("both", m=1, n=1)
    assert house.admitted() == ["a"]
    assert house.of("m").used == 0


def test_a_batch_that_can_never_fit_is_refused(house: House) -> None:
    """With the figures; nothing of it is written."""
    house.records.set_limit(PROJECT, "m", 100, NOW)
    course = house.create("a")
    assert house.populate(course, {"m": 101}) == (Shortage("m", 100, 0, 101),)
    assert house.records.headroom(PROJECT) == [Headroom(model="m", limit=100)]
    assert [one.id for one in house.work.look(NOW).courses] == ["a"]


def test_in_the_strict_profile_nobody_waits(house: House) -> None:
    """What is over the quota now is refused now."""
    house.records.set_limit(PROJECT, "m", 100, NOW)
    house.enter("a", m=60)
    course = house.create("b")
    assert house.populate(course, {"m": 50}, may_wait=False) == (Shortage("m", 100, 60, 50),)
    assert house.populate(course, {"m": 40}, may_wait=False) is True


def test_a_quota_is_that_of_one_project(house: House) -> None:
    """Neither limit nor use is shared."""
    house.records.set_limit(PROJECT, "m", 100, NOW)
    house.enter("a", m=100)
    assert house.enter("b", project="proj_else", m=1_000) is True
    assert house.admitted() == ["a", "b"]


def test_who_waits_is_let_in_when_the_quota_grows(house: House) -> None:
    """At once, and told by name; one that cannot fit any more holds nobody up."""
    house.records.set_limit(PROJECT, "m", 100, NOW)
    house.enter("a", m=100)
    house.enter("b", m=90)
    house.enter("c", m=20)
    assert house.records.set_limit(PROJECT, "m", 120, NOW) == []
    assert house.records.set_limit(PROJECT, "m", 80, NOW) == []
    house.end("a")
    assert house.admitted() == ["c"]
    assert house.records.unset_limit(PROJECT, "m", NOW) == ["b"]


def test_who_waits_can_be_cancelled_and_expires(house: House) -> None:
    """Both without ever having held a token; who waited behind gets in."""
    house.records.set_limit(PROJECT, "m", 100, NOW)
    house.enter("a", m=60)
    house.enter("b", m=50)
    house.enter("c", window=50, m=50)
    house.enter("d", m=40)
    assert house.admitted() == ["a"]
    house.records.cancel_batch(PROJECT, "b", NOW)
    assert [one.id for one in house.work.look(NOW).courses] == ["b"]
    house.end("b", "cancelled")
    assert [one.id for one in house.work.look(NOW + 60).courses] == ["c"]
    house.end("c", "expired")
    assert house.admitted() == ["a", "d"]


def test_the_audit_finds_no_difference_or_mends_it(house: House) -> None:
    """What an ended batch holds and what a running one does not is a broken promise."""
    house.records.set_limit(PROJECT, "m", 100, NOW)
    house.enter("a", m=60)
    house.enter("b", m=50)
    house.enter("c", m=1)
    assert house.work.audit_quota(NOW) == 0
    house.end("a")
    with house.store.writing() as connection:
        connection.execute(batch_models.update().values(held=~batch_models.c.held))
    assert house.work.audit_quota(NOW) == 3
    assert house.of("m").used == 51
