"""What is said of a model that is not served."""

import json

from batchyard.rules.limits import LOCAL
from batchyard.rules.served import ServedHint
from batchyard.rules.validate import explain


def test_the_nearest_names_are_told_first_and_the_rest_is_counted() -> None:
    """Who misspelled a name sees the right one; who wrote for another house sees what to do."""
    served = [f"other-{number}" for number in range(20)] + ["Qwen3-8B"]
    told = ServedHint(served)("qwen3-8b-instruct")
    assert told.startswith(" Served are: Qwen3-8B, other-")
    assert " and 11 more. " in told
    assert 'aliases = { "qwen3-8b-instruct" = "Qwen3-8B" } below [[upstream]].' in told


def test_it_is_told_once_for_a_model_and_for_few_models() -> None:
    """A thousand errors of a file do not say it a thousand times."""
    hint = ServedHint(["m"])
    told = [hint(str(number % 100)) for number in range(1_000)]
    assert [bool(one) for one in told] == [True] * 10 + [False] * 990
    assert ServedHint([])("a") == ""
    assert len(ServedHint(["s" * 10_000] * 3)("m" * 1_000_000)) < 1_000


def test_the_first_error_of_a_file_names_what_is_served() -> None:
    """So it does where the file is read a second time, for lines that share a custom_id."""
    lines = "".join(
        json.dumps(
            {
                "custom_id": custom_id,
                "method": "POST",
                "url": "/v1/chat/completions",
                "body": {"model": model, "messages": [{"role": "user", "content": "?"}]},
            }
        )
        + "\n"
        for custom_id, model in (("a", "m"), ("b", "gpt-4o-mini"), ("c", "gpt-4o-mini"), ("a", "m"))
    ).encode()
    errors = explain(
        lambda: [lines], endpoint=None, limits=LOCAL, known_model="m".__eq__, served=["m"]
    )
    assert [one.code for one in errors] == ["model_not_found"] * 2 + ["duplicate_custom_id"]
    first, second = (one.message for one in errors[:2])
    assert first.removeprefix(second).startswith(" Served are: m. Name one of them")
