"""Which databases and folders of blobs belong together, as tables."""

import pytest

from batchyard.rules.installation import Mark, objection, too_many_unnamed

OWN, LATER, OTHER = ("a", 5), ("a", 6), ("b", 1)
BEHIND = "older than the blobs"
# Database, mark beside it, mark beside the blobs, whether rows name blobs, whether blobs are there.
Case = tuple[Mark | None, Mark | None, Mark | None, bool, bool]


@pytest.mark.parametrize(
    "case",
    [
        (None, None, None, False, False),
        (None, None, None, True, True),
        (None, None, None, True, False),
        (None, ("a", 0), ("a", 0), False, False),
        (OWN, OWN, OWN, True, True),
        (LATER, OWN, OWN, True, True),
        (OWN, None, OWN, True, True),
        (OWN, OWN, None, True, True),
        (OWN, OWN, None, False, False),
        (OWN, None, None, True, True),
        (OWN, OWN, OWN, True, False),
    ],
    ids=str,
)
def test_what_belongs_together_is_let_be(case: Case) -> None:
    """A new folder, one from before there were marks, and marks that lag behind."""
    assert _objection(case) is None


@pytest.mark.parametrize(
    ("case", "why"),
    [
        ((None, None, None, False, True), "is new"),
        ((None, OWN, OWN, False, True), "is new"),
        ((None, None, OWN, False, False), "is new"),
        ((None, OWN, OWN, True, True), BEHIND),
        ((OWN, OWN, LATER, True, True), BEHIND),
        ((OWN, LATER, OWN, True, True), BEHIND),
        ((OWN, OWN, OTHER, True, True), "another installation"),
        ((OWN, OTHER, OWN, True, True), "another installation"),
        ((OWN, OWN, None, True, False), "folder of blobs is empty"),
    ],
    ids=str,
)
def test_what_looks_like_a_loss_is_said(case: Case, why: str) -> None:
    """A database that is new, older or foreign beside blobs; blobs that are not mounted."""
    assert why in str(_objection(case))


def _objection(case: Case) -> str | None:
    database, beside_database, beside_blobs, names_blobs, has_blobs = case
    return objection(
        database,
        beside_database=beside_database,
        beside_blobs=beside_blobs,
        names_blobs=names_blobs,
        has_blobs=has_blobs,
    )


@pytest.mark.parametrize(
    ("unnamed", "blobs", "is_much"),
    [
        *((0, 0, False), (10, 10, False), (11, 11, True), (11, 220, False), (12, 220, True)),
        *((100, 100_000, False), (101, 100_000, True)),
    ],
)
def test_a_few_left_overs_are_no_loss(unnamed: int, blobs: int, is_much: bool) -> None:
    """What a crash leaves is little, beside all blobs and in itself."""
    assert too_many_unnamed(unnamed, blobs) == is_much
