"""What openbatch documents runs unchanged, and where it went wrong it goes right."""

import json
import warnings
from pathlib import Path
from typing import Any

import pytest
from pydantic import BaseModel, Field

from batchyard.client.building.build import (
    DuplicateIdError,
    ParameterError,
    UnknownParameterWarning,
)
from batchyard.openbatch import (
    BatchCollector,
    BatchJobManager,
    ChatCompletionsRequest,
    EmbeddingInputInstance,
    EmbeddingsRequest,
    Message,
    PromptTemplate,
    PromptTemplateInputInstance,
    ReasoningConfig,
    RequestTemplate,
    ResponsesRequest,
    ReusablePrompt,
    validate_batch_file,
)
from batchyard.openbatch.validation import BatchFileValidator, quick_validate


class LogicalAnalysis(BaseModel):
    """The model of openbatch's README."""

    premise: str
    conclusion: str
    is_valid: bool = Field(description="Whether the conclusion follows from the premise.")


def bodies(path: Path) -> list[Any]:
    """The bodies of a file's lines."""
    return [json.loads(line)["body"] for line in path.read_text().splitlines()]


def test_the_readmes_collector_runs_unchanged(tmp_path: Path) -> None:
    """The quickstart of openbatch's README, and a file that its validation passes."""
    path = tmp_path / "responses_api_batch.jsonl"
    collector = BatchCollector(batch_file_path=path)
    collector.responses.create(
        custom_id="request-1-response",
        model="gpt-4o",
        instructions="You are a historian. Provide a concise summary.",
        input="What were the main causes of the French Revolution?",
        max_output_tokens=200,
    )
    collector.responses.parse(
        custom_id="request-2-reasoning",
        model="gpt-4o",
        text_format=LogicalAnalysis,
        instructions="Analyze the logical argument provided by the user.",
        input="Premise: All birds can fly. A penguin is a bird.",
        reasoning=ReasoningConfig(effort="high"),
    )
    embeddings = BatchCollector(batch_file_path=tmp_path / "embeddings_api_batch.jsonl")
    embeddings.embeddings.create(
        custom_id="request-3-embedding",
        model="text-embedding-3-small",
        inp="OpenBatch simplifies creating batch jobs.",
    )
    plain, parsed = bodies(path)
    assert plain["max_output_tokens"] == 200
    assert parsed["reasoning"] == {"effort": "high"}
    assert parsed["text"]["format"]["name"] == "LogicalAnalysis"
    assert parsed["text"]["format"]["schema"]["additionalProperties"] is False
    result = validate_batch_file(str(path))
    assert result.is_valid, result
    assert result.stats["total_requests"] == result.stats["unique_custom_ids"] == 2
    assert result.stats["endpoints_used"] == ["/v1/responses"]
    assert quick_validate(tmp_path / "embeddings_api_batch.jsonl")


def test_the_readmes_templates_run_unchanged(tmp_path: Path) -> None:
    """The templated instances and the embeddings of openbatch's README."""
    template = PromptTemplate(
        messages=[
            Message(role="system", content="You are a marketing copywriter."),
            Message(role="user", content="Product: {product_name}, Features: {features}"),
        ]
    )
    drone = {"product_name": "AeroGlide Drone", "features": "4K camera"}
    bottle = {"product_name": "HydroPure Bottle", "features": "Self-cleaning"}
    instances = [
        PromptTemplateInputInstance(id="prod_001", prompt_value_mapping=drone),
        PromptTemplateInputInstance(
            id="prod_002",
            prompt_value_mapping=bottle,
            instance_request_options={"temperature": 0.5},
        ),
    ]
    manager = BatchJobManager()
    manager.add_templated_instances(
        prompt=template,
        common_request=ResponsesRequest(model="gpt-4o-mini", temperature=0.8),
        input_instances=instances,
        save_file_path=tmp_path / "copywriting_batch.jsonl",
    )
    first, second = bodies(tmp_path / "copywriting_batch.jsonl")
    assert first["input"][1]["content"] == "Product: AeroGlide Drone, Features: 4K camera"
    assert (first["temperature"], second["temperature"]) == (0.8, 0.5)
    manager.add_embedding_requests(
        inputs=[
            EmbeddingInputInstance(id="doc_1", input="The sky is blue."),
            EmbeddingInputInstance(
                id="doc_2", input=[[1, 2]], instance_request_options={"dimensions": 256}
            ),
        ],
        common_request=EmbeddingsRequest(model="text-embedding-3-small", dimensions=512),
        save_file_path=tmp_path / "embeddings_batch.jsonl",
    )
    assert [one["dimensions"] for one in bodies(tmp_path / "embeddings_batch.jsonl")] == [512, 256]


def test_parameters_are_kept_that_openbatch_lost(tmp_path: Path) -> None:
    """`seed`, `stop`, `metadata` and unknown ones are sent; efforts are the model's affair."""
    path = tmp_path / "lines.jsonl"
    given: dict[str, Any] = {"max_tokens": 5, "seed": 1, "stop": ["."], "metadata": {"a": "b"}}
    collector = BatchCollector(path)
    messages = [{"role": "user", "content": "hi"}]
    collector.chat.completions.create("a", "m1", messages=messages, warp=9, **given)
    collector.responses.create("b", "m1", input="hi", reasoning=ReasoningConfig(effort="xhigh"))
    with pytest.warns(UnknownParameterWarning, match="temperature"):
        collector.responses.create("c", "m1", input="hi", temperatur=1)
    found = bodies(path)
    assert found[0] == {"model": "m1", "messages": messages, "warp": 9, **given}
    assert found[1]["reasoning"] == {"effort": "xhigh"}
    assert found[2]["temperatur"] == 1


def test_chat_formats_stand_where_the_api_documents_them(tmp_path: Path) -> None:
    """Openbatch wrote `response_format.format`; the API knows `json_schema`."""
    path = tmp_path / "lines.jsonl"
    collector = BatchCollector(path)
    messages = [{"role": "user", "content": "hi"}]
    collector.chat.completions.parse("a", "m1", response_format=LogicalAnalysis, messages=messages)
    made = bodies(path)[0]["response_format"]
    assert made["type"] == "json_schema"
    assert made["json_schema"]["name"] == "LogicalAnalysis"


def test_messages_may_have_parts_tool_calls_and_no_content(tmp_path: Path) -> None:
    """Conversations that openbatch refused pass as they are."""
    messages = [
        {"role": "user", "content": [{"type": "text", "text": "hi"}]},
        {"role": "assistant", "content": None, "tool_calls": [{"id": "c1"}]},
        {"role": "tool", "tool_call_id": "c1", "content": "42"},
    ]
    path = tmp_path / "lines.jsonl"
    BatchCollector(path).chat.completions.create("a", "m1", messages=messages)
    assert bodies(path)[0]["messages"] == messages


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ('Answer {"label": "x"} for {text}', 'Answer {"label": "x"} for ok'),
        ('Answer {{"label": "x"}} for {text}', 'Answer {"label": "x"} for ok'),
        ('{"a": {"b": {}}} {text}', '{"a": {"b": {}}} ok'),
    ],
)
def test_prompts_may_hold_json(text: str, said: str) -> None:
    """Braces raise no KeyError; those doubled for `str.format` come out single as before."""
    template = PromptTemplate(messages=[Message(role="user", content=text)])
    assert template.format(text="ok")[0].content == said


def test_options_of_an_instance_are_checked(tmp_path: Path) -> None:
    """A temperature of 99 passed with openbatch."""
    instance = PromptTemplateInputInstance(
        id="a", prompt_value_mapping={}, instance_request_options={"temperature": 99}
    )
    prompt = PromptTemplate(messages=[Message(role="user", content="hi")])
    with pytest.raises(ParameterError, match="temperature"):
        BatchJobManager().add_templated_instances(
            prompt, ChatCompletionsRequest(model="m1"), [instance], tmp_path / "lines.jsonl"
        )


def test_a_script_that_runs_twice_leaves_one_file(tmp_path: Path) -> None:
    """The same lines are not written again; another request of the same id is refused."""
    path = tmp_path / "lines.jsonl"
    for _ in range(2):
        collector = BatchCollector(path)
        collector.embeddings.create(custom_id="a", model="m1", input="x")
        collector.embeddings.create(custom_id="b", model="m1", inp=[1, 2])
    assert [one["input"] for one in bodies(path)] == ["x", [1, 2]]
    with pytest.raises(DuplicateIdError, match="'a' is in"):
        collector.embeddings.create(custom_id="a", model="m1", input="y")
    again = BatchCollector(path)
    with pytest.raises(DuplicateIdError, match="for another request"):
        again.embeddings.create(custom_id="b", model="m1", input="y")


def test_appending_warns_unless_told_not_to(tmp_path: Path) -> None:
    """The warning about a file that exists is openbatch's own."""
    path = tmp_path / "lines.jsonl"
    path.write_text("existing content\n")
    prompt = ReusablePrompt(id="prompt_123", version="v1", variables={})
    instance = PromptTemplateInputInstance(id="a", prompt_value_mapping={"var": "value"})
    manager = BatchJobManager()
    with pytest.warns(RuntimeWarning, match="already exists"):
        manager.add_templated_instances(prompt, ResponsesRequest(model="m1"), [instance], path)
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        later = PromptTemplateInputInstance(id="b", prompt_value_mapping={})
        manager.add_templated_instances(prompt, ResponsesRequest(), [later], path, True)
    line = json.loads(path.read_text().splitlines()[1])
    assert line["body"]["prompt"] == {
        "id": "prompt_123",
        "version": "v1",
        "variables": {"var": "value"},
    }


def test_templates_are_saved_and_come_back_whole(tmp_path: Path) -> None:
    """Openbatch lost everything of a request but its model."""
    template = RequestTemplate(
        name="n",
        description="d",
        prompt=PromptTemplate(messages=[Message(role="user", content="Hi {a}")]),
        request=ChatCompletionsRequest(model="m1", temperature=0.3, seed=4),
    )
    template.save(tmp_path / "t.json")
    found = RequestTemplate.load(tmp_path / "t.json")
    assert found.request == template.request
    assert found.request.seed == 4
    assert found.prompt.format(a="x")[0].content == "Hi x"


@pytest.mark.parametrize(("escaped", "said"), [(True, "\\u4e16"), (False, "世")])
def test_ascii_is_a_choice(tmp_path: Path, escaped: bool, said: str) -> None:
    """`ensure_ascii` writes escapes or UTF-8."""
    path = tmp_path / "lines.jsonl"
    BatchJobManager(ensure_ascii=escaped).add("a", ResponsesRequest(input="世"), path)
    assert said in path.read_text(encoding="utf-8")
    assert bodies(path)[0]["input"] == "世"


def test_validation_tells_all_that_the_server_would(tmp_path: Path) -> None:
    """Every fault of a file in one pass; blank lines are no requests, moderations are legal."""
    path = tmp_path / "lines.jsonl"
    chat = {"model": "m1", "messages": []}
    url = "/v1/chat/completions"
    lines: list[Any] = [
        {"custom_id": "a", "method": "POST", "url": url, "body": chat},
        {"custom_id": "a", "method": "POST", "url": url, "body": chat},
        {"custom_id": "b", "method": "POST", "url": url, "body": {**chat, "stream": True}},
        {"custom_id": "c", "method": "POST", "url": url, "body": {**chat, "model": "m2"}},
        {"custom_id": "d", "method": "POST", "url": "/v1/moderations", "body": {"input": "x"}},
        [],
    ]
    path.write_text("\n\n".join(map(json.dumps, lines)))
    result = validate_batch_file(path)
    told = str(result)
    assert not result.is_valid
    for code in ("duplicate_custom_id", "streaming_unsupported", "mismatched_model"):
        assert code in told
    assert "Line 9: The URL '/v1/moderations'" in told
    assert "Line 11: " in told
    assert result.stats["total_requests"] == 6
    assert result.warnings == ["Empty lines, which will be ignored: 5"]
    assert not validate_batch_file(path, allow_mixed_endpoints=True).is_valid
    path.write_text(json.dumps(lines[4]))
    assert BatchFileValidator().validate_file(path).is_valid
    assert validate_batch_file(tmp_path / "none.jsonl").errors[0].startswith("File not found")
