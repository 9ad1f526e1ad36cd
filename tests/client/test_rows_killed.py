"""A table on its way through a campaign, killed where it hurts."""

import os
import signal
import subprocess
from pathlib import Path

from tests.acceptance.processes import command, until
from tests.client.conftest import Strict


def test_a_killed_command_goes_on(strict: Strict, tmp_path: Path) -> None:
    """While rows become requests, and with a batch under way: every row is asked once."""
    lines = [f"{number},text number {number}" for number in range(1_000)]
    (tmp_path / "in.csv").write_text("\n".join(["id,text", *lines]) + "\n")
    words = ["run", "in.csv", "--to", strict.server.url, "--model", "m1", "--id", "id"]
    words += ["--labels", "a,b", "--poll", "1", "-o", "out.csv"]
    environment = os.environ | {"OPENAI_API_KEY": "key", "BATCHYARD_CACHE": str(tmp_path / "c")}
    home = tmp_path / ".batchyard"
    for seen in ("*/rows.jsonl", "classify-*/diary.jsonl"):
        with subprocess.Popen(
            command(*words), cwd=tmp_path, env=environment, stderr=subprocess.DEVNULL
        ) as process:
            until(lambda seen=seen: any(home.glob(seen)))  # type: ignore[misc]
            process.send_signal(signal.SIGKILL)
        assert not (tmp_path / "out.csv").exists()
    before = len(list(strict.openai.batches.list()))
    done = subprocess.run(
        command(*words), cwd=tmp_path, env=environment, capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stderr
    answered = (tmp_path / "out.csv").read_text().splitlines()[1:]
    assert [line.split(",")[0] for line in answered] == [str(number) for number in range(1_000)]
    assert set(strict.sim.served().values()) == {1}
    assert strict.sim.served().total() == 1_000
    assert len(list(strict.openai.batches.list())) - before <= 1
    assert [one.name.split("-")[0] for one in home.iterdir()] == ["classify"]
