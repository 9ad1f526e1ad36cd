"""A batch file by the openai SDK: `python -m bench.alternatives.with_openai IN OUT URL FLIGHT`."""

import asyncio
import json
import sys
from pathlib import Path

from openai import AsyncOpenAI


async def main(source: str, target: str, url: str, flight: int) -> None:
    """Send every line, a semaphore's worth at a time."""
    gate = asyncio.Semaphore(flight)
    async with AsyncOpenAI(base_url=url, api_key="none") as client:

        async def ask(line: str) -> str:
            request = json.loads(line)
            async with gate:
                got = await client.chat.completions.create(**request["body"])
            return json.dumps(
                {"custom_id": request["custom_id"], "response": {"body": got.model_dump()}}
            )

        lines = Path(source).read_text().splitlines()
        answers = await asyncio.gather(*(ask(line) for line in lines))
    Path(target).write_text("\n".join(answers))


if __name__ == "__main__":
    asyncio.run(main(sys.argv[1], sys.argv[2], sys.argv[3], int(sys.argv[4])))
