"""What is said of a model that is not served."""

import json

from batchyard.rules.limits import LOCAL
from batchyard.rules.served import OF_RUN, OF_SERVER, Unserved
from batchyard.rules.validate import explain


def test_the_nearest_names_are_told_first_and_the_rest_is_counted() -> None:
    """Who misspelled a name sees the right one; who wrote for another house sees what to do."""
    served = [f"other-{number}" for number in range(20)] + ["Qwen3-8B"]
    told = Unserved(served, OF_SERVER)("qwen3-8b-instruct")
    assert " Served are: Qwen3-8B, other-" in told
    assert " and 11 more. " in told
    assert 'aliases = { "qwen3-8b-instruct" = "Qwen3-8B" } below [[upstream]].' in told


def test_who_has_no_server_edits_the_file() -> None:
    """Settings of a server are of no use to a run, nor to whoever checks a file."""
    for told in (Unserved(["m1"], OF_RUN)("m{9}"), Unserved(["m1"])("m{9}")):
        assert "'m{9}'" in told
        assert "batchyard edit --set body.model=m1" in told
        assert "aliases" not in told
    assert Unserved(["m1"], OF_RUN)("m9").startswith("No upstream serves the model 'm9'.")


def test_it_is_told_once_for_a_model_and_for_few_models() -> None:
    """A thousand errors of a file do not say it a thousand times."""
    unserved = Unserved(["m"])
    told = [unserved(str(number % 100)) for number in range(1_000)]
    assert ["Served are" in one for one in told] == [True] * 10 + [False] * 990
    assert Unserved([])("a").endswith("'a' is not supported by the Batch API.")
    assert len(Unserved(["s" * 10_000] * 3)("m" * 10_000)) < 11_000


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
