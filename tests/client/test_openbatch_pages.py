"""The guide, the page on validation and the settings of openbatch's documentation, unchanged."""

import json
from pathlib import Path
from typing import Any

import pytest
from pydantic import BaseModel, Field

from batchyard.openbatch import (
    BatchCollector,
    BatchJobManager,
    Message,
    PromptTemplate,
    PromptTemplateInputInstance,
    ReasoningConfig,
    ResponsesRequest,
    validate_batch_file,
)
from batchyard.openbatch.validation import BatchFileValidator, quick_validate
from tests.client.lines import line


class Step(BaseModel):
    """A nested model, as the guide has one."""

    tool: str
    minutes: str


class Repair(BaseModel):
    """What a request of the guide asks for."""

    title: str = Field(description="What is repaired")
    steps: list[Step]
    warnings: list[str]


def bodies(path: Path) -> list[Any]:
    return [json.loads(one)["body"] for one in path.read_text().splitlines()]


@pytest.fixture
def here(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Examples name files as if they stood where they run."""
    monkeypatch.chdir(tmp_path)
    return tmp_path


def test_the_guides_collector(here: Path) -> None:
    """A plain request and one with a nested model and reasoning, in one file named by a text."""
    collector = BatchCollector(batch_file_path="./guide.jsonl")
    collector.responses.create(
        custom_id="request-1",
        model="gpt-4o-mini",
        instructions="Explain programming in verse.",
        input="What is recursion?",
        temperature=0.8,
        max_output_tokens=150,
    )
    collector.responses.parse(
        custom_id="request-2",
        model="gpt-5-mini",
        text_format=Repair,
        instructions="Say how to repair it.",
        input="My bicycle has a flat tyre.",
        reasoning=ReasoningConfig(effort="low", summary="concise"),
    )
    plain, parsed = bodies(here / "guide.jsonl")
    assert plain == {
        "model": "gpt-4o-mini",
        "instructions": "Explain programming in verse.",
        "input": "What is recursion?",
        "temperature": 0.8,
        "max_output_tokens": 150,
    }
    assert parsed["reasoning"] == {"effort": "low", "summary": "concise"}
    form = parsed["text"]["format"]
    assert (form["type"], form["name"], form["strict"]) == ("json_schema", "Repair", True)
    assert form["schema"]["required"] == ["title", "steps", "warnings"]
    step = form["schema"]["$defs"]["Step"]
    assert (step["required"], step["additionalProperties"]) == (["tool", "minutes"], False)
    result = validate_batch_file("guide.jsonl")
    # OpenAI takes one model in a file; the guide's own file has two, and openbatch let it pass.
    assert [one.rsplit(" ", 1)[1] for one in result.errors] == ["(mismatched_model)"]
    assert (result.stats["total_requests"], result.stats["unique_custom_ids"]) == (2, 2)


def test_the_guides_manager(here: Path) -> None:
    """A template, what all requests share, and a list of products."""
    template = PromptTemplate(
        messages=[
            Message(role="system", content="Describe the product in a few words."),
            Message(role="user", content="Product: {product}\nFeatures: {features}"),
        ]
    )
    shared = ResponsesRequest(
        model="gpt-4o-mini",
        temperature=0.7,
        max_output_tokens=100,
        service_tier="flex",
        reasoning=ReasoningConfig(summary="auto"),
    )
    products = {"p-1": ("Lamp", "bright, small"), "p-2": ("Chair", "soft, 100% wool")}
    BatchJobManager().add_templated_instances(
        prompt=template,
        common_request=shared,
        input_instances=[
            PromptTemplateInputInstance(
                id=id, prompt_value_mapping={"product": name, "features": features}
            )
            for id, (name, features) in products.items()
        ],
        save_file_path="products.jsonl",
    )
    first, second = bodies(here / "products.jsonl")
    assert first["input"][1]["content"] == "Product: Lamp\nFeatures: bright, small"
    assert second["input"][1]["content"] == "Product: Chair\nFeatures: soft, 100% wool"
    assert first["service_tier"] == "flex"
    # The effort that openbatch sends where none is given.
    assert first["reasoning"] == {"effort": "medium", "summary": "auto"}
    assert quick_validate("products.jsonl")


def test_the_page_on_validation(here: Path) -> None:
    """The result's parts, what it reads like, and each check that can be left out."""
    lines = [line("a"), line("b"), line("a")]
    (here / "batch.json").write_text("".join(lines))
    result = validate_batch_file("batch.json")
    assert not result.is_valid
    assert result.stats == {
        "file_size_mb": 0.0,
        "total_requests": 3,
        "unique_custom_ids": 2,
        "endpoints_used": ["/v1/chat/completions"],
    }
    assert [one.startswith("Line 3: ") for one in result.errors] == [True]
    assert result.warnings == ["File extension is '.json', expected '.jsonl'"]
    told = str(result).splitlines()
    assert told[0] == "Validation: FAILED"
    assert "  total_requests: 3" in told
    assert told[-1] == "  • File extension is '.json', expected '.jsonl'"
    assert validate_batch_file("batch.json", check_custom_id_uniqueness=False).is_valid
    validator = BatchFileValidator(
        check_custom_id_uniqueness=True,
        check_file_size=True,
        check_request_count=True,
        allow_mixed_endpoints=False,
    )
    assert not validator.validate_file("batch.json").is_valid


def test_mixed_endpoints_and_large_files_may_be_let_pass(here: Path) -> None:
    """`allow_mixed_endpoints` and `strict=False` do what the page says of them."""
    (here / "mixed.jsonl").write_text(line("a") + line("b", url="/v1/embeddings"))
    assert not validate_batch_file("mixed.jsonl").is_valid
    mixed = validate_batch_file("mixed.jsonl", allow_mixed_endpoints=True)
    assert mixed.is_valid
    assert mixed.stats["endpoints_used"] == ["/v1/chat/completions", "/v1/embeddings"]
    (here / "many.jsonl").write_text("".join(line(f"r{n}") for n in range(50_001)))
    assert not quick_validate("many.jsonl")
    assert validate_batch_file("many.jsonl", strict=False).is_valid


def test_a_request_is_configured_by_its_parameters() -> None:
    """And an instance overrides what is common, as the README ends."""
    detailed = ResponsesRequest(
        model="gpt-4o",
        service_tier="flex",
        reasoning=ReasoningConfig(effort="minimal"),
        max_output_tokens=500,
    )
    assert detailed.to_dict() == {
        "model": "gpt-4o",
        "service_tier": "flex",
        "reasoning": {"effort": "minimal"},
        "max_output_tokens": 500,
    }
