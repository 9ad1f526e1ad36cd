"""The demo: a simulated upstream, a server before it, and a real batch by the openai client.

Nothing here needs a model, a key or a network. Run it with `make demo`.
"""

import ast
import json
import os
import secrets
import signal
import subprocess
import sys
import sysconfig
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from openai import OpenAI
from openai.types import Batch

LINES = 1_200
NEXT = """
Next, with a model of your own:
  batchyard serve --upstream http://127.0.0.1:8000/v1      # vLLM; Ollama is :11434/v1
  export OPENAI_BASE_URL=http://127.0.0.1:8080/v1 OPENAI_API_KEY=...  # the key it shows
  # ... and run the code you have for OpenAI's Batch API, unchanged.
Or without a server, one file in, one file out:
  batchyard run requests.jsonl -o answers.jsonl --upstream http://127.0.0.1:8000/v1
"""


def main() -> None:
    """Build, upload and run one batch, and show what came of it."""
    # Whoever stops the demo wants its processes and its folder gone.
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(143))
    with tempfile.TemporaryDirectory(prefix="batchyard-demo-") as place:
        folder = Path(place)
        key = secrets.token_urlsafe(16)
        with (
            started("sim", "--port", "0", "--latency", "lognormal:0.2") as upstream,
            started(
                *("serve", "--port", "0", "--data", str(folder / "data"), "--upstream", upstream),
                key=key,
            ) as url,
        ):
            print(f"A simulated upstream answers on {upstream}: what it writes is no model's work.")
            print(f"Batchyard serves the Batch API on {url}.\n")
            show(OpenAI(base_url=url, api_key=key), folder)
    print(NEXT)


def show(client: OpenAI, folder: Path) -> None:
    """Run the batch with OpenAI's own client."""
    requests = write_requests(folder / "requests.jsonl")
    print(f"{len(requests):,} requests from the docstrings of Python's standard library.")
    began = time.monotonic()
    with (folder / "requests.jsonl").open("rb") as file:
        uploaded = client.files.create(file=file, purpose="batch")
    batch = client.batches.create(
        input_file_id=uploaded.id, endpoint="/v1/chat/completions", completion_window="24h"
    )
    batch = wait(client, batch)
    seconds = time.monotonic() - began
    assert batch.request_counts is not None
    assert batch.output_file_id is not None, f"the batch ended as {batch.status}"
    answers = client.files.content(batch.output_file_id).iter_lines()
    for answer in [json.loads(line) for line in answers][:3]:
        text = answer["response"]["body"]["choices"][0]["message"]["content"]
        print(f"\n  {answer['custom_id']}")
        print(f"    asked:    {shortened(requests[answer['custom_id']])}")
        print(f"    answered: {shortened(text)}")
    counts, usage = batch.request_counts, batch.usage
    print(
        f"\n{counts.completed:,} of {counts.total:,} answered, {counts.failed:,} failed,", end=" "
    )
    print(f"in {seconds:.1f} s from upload to the end", end="")
    print(f", {usage.input_tokens:,} + {usage.output_tokens:,} tokens." if usage else ".")


def wait(client: OpenAI, batch: Batch) -> Batch:
    """Poll until the batch has ended, and show how far it is."""
    while batch.status not in ("completed", "failed", "expired", "cancelled"):
        counts = batch.request_counts
        if counts is not None and counts.total:
            print(f"  {batch.status}: {counts.completed:,}/{counts.total:,}", flush=True)
        time.sleep(0.2)
        batch = client.batches.retrieve(batch.id)
    print(f"  {batch.status}")
    return batch


def write_requests(path: Path) -> dict[str, str]:
    """Write the batch file; returns what each custom_id asks about."""
    asked: dict[str, str] = {}
    with path.open("w", encoding="utf-8") as file:
        for name, text in docstrings():
            if name in asked:
                continue
            asked[name] = text
            body = {
                "model": "sim-small",
                "max_tokens": 60,
                "messages": [
                    {"role": "system", "content": "Summarise this docstring in one sentence."},
                    {"role": "user", "content": text},
                ],
            }
            line = {"custom_id": name, "method": "POST", "url": "/v1/chat/completions"}
            file.write(json.dumps(line | {"body": body}) + "\n")
            if len(asked) == LINES:
                break
    return asked


def docstrings() -> Iterator[tuple[str, str]]:
    """Docstrings of the standard library, by dotted name."""
    for source in sorted(Path(sysconfig.get_path("stdlib")).glob("*.py")):
        tree = ast.parse(source.read_text(encoding="utf-8"))
        for node in ast.walk(tree):
            if isinstance(node, ast.FunctionDef | ast.ClassDef):
                text = ast.get_docstring(node)
                if text and len(text) > 60:
                    yield f"{source.stem}.{node.name}", text


@contextmanager
def started(verb: str, *options: str, key: str = "") -> Iterator[str]:
    """Run a command of Batchyard's until the block ends; gives the URL it announces."""
    process = subprocess.Popen(
        [sys.executable, "-m", "batchyard", verb, *options],
        stdout=subprocess.PIPE,
        stderr=subprocess.DEVNULL,
        text=True,
        env=os.environ | {"BATCHYARD_API_KEY": key},
        start_new_session=True,
    )
    try:
        assert process.stdout is not None
        announced = process.stdout.readline()
        if not announced:
            raise SystemExit(f"`batchyard {verb}` did not start")
        yield announced.split()[-1]
    finally:
        process.terminate()
        process.wait()


def shortened(text: str) -> str:
    """The first words of a text, on one line."""
    flat = " ".join(text.split())
    return flat if len(flat) <= 100 else flat[:99] + "…"


if __name__ == "__main__":
    try:
        main()
    except KeyboardInterrupt:
        sys.exit(130)
