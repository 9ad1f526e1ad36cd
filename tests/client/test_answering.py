"""What the text of an answer is worth."""

from typing import Any

import pytest

from batchyard.client.results.answering import Reading, ReadingError, flat_names
from batchyard.client.tabular.scoring import interval

CHOICE = Reading(kind="classify", column="label", labels=("Yes", "No"))
CHOICES = Reading(kind="classify", column="labels", labels=("Yes", "No"), multiple=True)
SHAPE = Reading(kind="extract", schema={"properties": {"a": {}}})


@pytest.mark.parametrize(
    "text", ['{"label": "Yes"}', "yes", '"Yes".', '```json\n{"label":"YES"}\n```']
)
def test_a_label_is_known_however_it_is_written(text: str) -> None:
    """Servers without structured outputs answer with words."""
    assert CHOICE.value(text) == "Yes"


@pytest.mark.parametrize(
    ("reading", "text"),
    [
        (CHOICE, "maybe"),
        (CHOICE, '{"label": 1}'),
        (CHOICE, '{"lab'),
        (CHOICES, '{"labels": ["Yes", "perhaps"]}'),
        (CHOICES, '{"labels": "Yes"}'),
        (SHAPE, "[1]"),
        (SHAPE, "nothing"),
        (Reading(kind="generate"), " \n"),
    ],
)
def test_what_was_not_asked_for_is_refused(reading: Reading, text: str) -> None:
    """It would be a hole in the table."""
    with pytest.raises(ReadingError):
        reading.value(text)


def test_several_labels_come_each_once() -> None:
    """In the order of the answer; none is an answer too."""
    assert CHOICES.value('{"labels": ["no", "Yes", "No"]}') == ["No", "Yes"]
    assert CHOICES.value('{"labels": []}') == []


def test_the_columns_of_a_shape_are_known_before_its_answers() -> None:
    """Inner objects are taken apart, lists are not; what contains itself ends."""
    schema: dict[str, Any] = {
        "$defs": {"Node": {"properties": {"next": {"$ref": "#/$defs/Node"}, "id": {}}}},
        "properties": {
            "tags": {"type": "array", "items": {"properties": {"x": {}}}},
            "at": {"properties": {"city": {}, "floor": {}}},
            "node": {"$ref": "#/$defs/Node"},
        },
    }
    names = ("tags", "at_city", "at_floor", "node_next", "node_id")
    assert flat_names(schema) == names


def test_few_cases_tell_little() -> None:
    """All of three right may be by chance; the interval says so."""
    low, high = interval(3, 3)
    assert (low, high) == pytest.approx((0.4385, 1), abs=0.001)
    assert interval(0, 3) == pytest.approx((0, 0.562), abs=0.001)
