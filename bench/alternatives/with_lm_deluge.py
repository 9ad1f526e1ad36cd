"""A batch file by lm-deluge: `python -m bench.alternatives.with_lm_deluge IN OUT URL FLIGHT`."""

import asyncio
import json
import os
import sys
from pathlib import Path

from lm_deluge import Conversation, LLMClient
from lm_deluge.models import register_model


async def main(source: str, target: str, url: str, flight: int) -> None:
    """Send every line's one message, so many at a time."""
    os.environ["NO_KEY"] = "none"
    register_model(id="m1", name="m1", api_base=url, api_key_env_var="NO_KEY", api_spec="openai")
    client = LLMClient(
        "m1",
        max_requests_per_minute=1_000_000_000,
        max_tokens_per_minute=1_000_000_000_000,
        max_concurrent_requests=flight,
        max_new_tokens=200,
    )
    requests = [json.loads(line) for line in Path(source).read_text().splitlines()]
    prompts = [Conversation().user(one["body"]["messages"][0]["content"]) for one in requests]
    answers = await client.process_prompts_async(prompts, show_progress=False)
    Path(target).write_text(
        "\n".join(
            json.dumps({"custom_id": request["custom_id"], "response": answer.to_dict()})
            for request, answer in zip(requests, answers, strict=True)
        )
    )


if __name__ == "__main__":
    asyncio.run(main(sys.argv[1], sys.argv[2], sys.argv[3], int(sys.argv[4])))
