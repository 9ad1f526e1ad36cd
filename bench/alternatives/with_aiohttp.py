"""A batch file by aiohttp: `python -m bench.alternatives.with_aiohttp IN OUT URL FLIGHT`."""

import asyncio
import json
import sys
from pathlib import Path

import aiohttp


async def main(source: str, target: str, url: str, flight: int) -> None:
    """Send every line, a semaphore's worth at a time."""
    gate = asyncio.Semaphore(flight)
    connector = aiohttp.TCPConnector(limit=flight)
    async with aiohttp.ClientSession(connector=connector) as session:

        async def ask(line: str) -> str:
            request = json.loads(line)
            async with gate, session.post(f"{url}/chat/completions", json=request["body"]) as got:
                body = await got.json()
            return json.dumps({"custom_id": request["custom_id"], "response": {"body": body}})

        lines = Path(source).read_text().splitlines()
        answers = await asyncio.gather(*(ask(line) for line in lines))
    Path(target).write_text("\n".join(answers))


if __name__ == "__main__":
    asyncio.run(main(sys.argv[1], sys.argv[2], sys.argv[3], int(sys.argv[4])))
