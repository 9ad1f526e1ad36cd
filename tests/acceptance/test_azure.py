"""Azure's client, from the upload to the answers."""

from typing import Any

from openai import AzureOpenAI

from tests.acceptance.conftest import House
from tests.acceptance.processes import batch_of, ended, request_lines, results_of


def test_azures_client_gets_its_answers(house: House) -> None:
    """Lines and endpoint without `/v1`; the same file is refused where it is not Azure's."""
    lines = request_lines(3, url="/chat/completions")
    client = AzureOpenAI(
        azure_endpoint=house.server.url.removesuffix("/v1"),
        api_key="key",
        api_version="2024-10-21",
        max_retries=0,
        _strict_response_validation=True,
    )
    file = client.files.create(file=("lines.jsonl", lines), purpose="batch")
    endpoints: list[Any] = ["/chat/completions", "/v1/chat/completions"]
    for endpoint in endpoints:
        batch = client.batches.create(
            input_file_id=file.id, endpoint=endpoint, completion_window="24h"
        )
        done = ended(client, batch)
        assert (done.status, done.endpoint) == ("completed", "/chat/completions")
        output, errors = results_of(client, done)
        assert {line["custom_id"] for line in output} == {"c0", "c1", "c2"}
        assert errors == []
    refused = ended(house.client, batch_of(house.client, lines))
    assert refused.errors is not None
    assert {error.code for error in refused.errors.data or []} == {"invalid_url"}
