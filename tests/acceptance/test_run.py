"""`batchyard run` as a process: answered, refused, interrupted, killed, gone on with."""

import json
import os
import signal
import socket
import subprocess
import sys
from collections import Counter
from pathlib import Path
from random import Random

import pytest

from tests.acceptance.processes import Sim, command, request_lines, until

USUAL_PORTS = (8000, 11434, 8080, 1234, 30000)
UNNEEDED = {
    "batchyard.client",
    "batchyard.places.objects",
    "dataclasses",
    "email",
    "secrets",
    "sqlalchemy",
}


class OneShot:
    """The command `batchyard run` on one input."""

    def __init__(self, folder: Path, upstream: str, lines: bytes) -> None:
        self.source, self.output = folder / "in.jsonl", folder / "out.jsonl"
        self.errors = folder / "out.errors.jsonl"
        self.source.write_bytes(lines)
        self._upstream = upstream

    def start(self, *options: str) -> "subprocess.Popen[str]":
        """Start it."""
        words = ("run", str(self.source), "-o", str(self.output), "--upstream", self._upstream)
        return subprocess.Popen(
            command(*words, *options), stderr=subprocess.PIPE, text=True, cwd=self.source.parent
        )

    def go(self, *options: str) -> tuple[int, str]:
        """Run it to its end; returns the exit code and what it said."""
        with self.start(*options) as process:
            _, said = process.communicate()
        return process.returncode, said

    @property
    def recorded(self) -> int:
        """How many answers it has written so far."""
        partial = self.output.with_name(self.output.name + ".partial")
        return partial.read_bytes().count(b"\n") if partial.exists() else 0

    def answers(self) -> list[dict[str, object]]:
        """The lines of the output."""
        return [json.loads(line) for line in self.output.read_text().splitlines()]

    def failures(self) -> list[dict[str, object]]:
        """The lines of the error file."""
        return [json.loads(line) for line in self.errors.read_text().splitlines()]


def ids(count: int) -> Counter[str]:
    """Each custom_id once."""
    return Counter(f"c{number}" for number in range(count))


def test_a_file_is_answered(tmp_path: Path, shared_sim: Sim) -> None:
    """Every line once in the output; a line of progress per tenth; nothing else is left behind."""
    run = OneShot(tmp_path, shared_sim.url, request_lines(2_000))
    shared_sim.set("latency", "fixed:0.05")
    code, said = run.go()
    assert code == 0, said
    assert Counter(str(line["custom_id"]) for line in run.answers()) == ids(2_000)
    assert sorted(path.name for path in tmp_path.iterdir()) == ["in.jsonl", "out.jsonl"]
    progress = [line for line in said.splitlines() if "/2,000 " in line]
    assert 2 <= len(progress) <= 10
    assert "\x1b" not in said
    assert "2,000 answered, 0 failed in" in said
    assert f"answers: {run.output}" in said


def test_a_run_loads_what_it_needs(tmp_path: Path, shared_sim: Sim) -> None:
    """Nobody who asks one line waits for what other verbs, files and upstreams need."""
    (tmp_path / "in.jsonl").write_bytes(request_lines(1))
    code = (
        "import atexit, sys\n"
        "before = set(sys.modules)\n"
        "atexit.register(lambda: print(*set(sys.modules) - before))\n"
        "from batchyard.__main__ import main\n"
        "main()\n"
    )
    words = ("run", "in.jsonl", "-o", "out.jsonl", "--upstream", shared_sim.url)
    done = subprocess.run(
        [sys.executable, "-c", code, *words], capture_output=True, check=True, cwd=tmp_path
    )
    loaded = set(done.stdout.decode().split())
    assert "batchyard.flow.once" in loaded
    assert set() == UNNEEDED & loaded


def test_a_bad_file_is_refused_with_every_error(tmp_path: Path, shared_sim: Sim) -> None:
    """Each error is named by file and line; nothing is asked and nothing written."""
    lines = request_lines(2) + b"oops\n" + request_lines(1)
    run = OneShot(tmp_path, shared_sim.url, lines)
    code, said = run.go()
    assert code == 3
    assert f"{run.source}:3: error invalid_json_line: " in said
    assert f"{run.source}:4: error duplicate_custom_id: " in said
    assert "2 errors; nothing was asked" in said
    assert not run.output.exists()
    assert not shared_sim.served()


def test_a_model_that_nobody_serves_is_refused(tmp_path: Path, shared_sim: Sim) -> None:
    """It says which models there are."""
    body = {"model": "m9", "messages": [{"role": "user", "content": "hello"}]}
    code, said = OneShot(tmp_path, shared_sim.url, request_lines(1, body)).go()
    assert code == 3
    assert "model_not_found" in said
    assert "Served are: m1, m2" in said


def test_an_output_in_the_way_is_kept(tmp_path: Path, shared_sim: Sim) -> None:
    """A finished output is never written over."""
    run = OneShot(tmp_path, shared_sim.url, request_lines(3))
    run.output.write_text("precious\n")
    code, said = run.go()
    assert code == 1
    assert f"{run.output} exists already; nothing was asked" in said
    assert run.output.read_text() == "precious\n"


def test_failed_lines_have_their_own_file(tmp_path: Path, shared_sim: Sim) -> None:
    """What the upstream refuses stands in the error file with its status; the run succeeds."""
    shared_sim.set("faults", "422:0.5")
    run = OneShot(tmp_path, shared_sim.url, request_lines(40))
    code, said = run.go()
    assert code == 0, said
    answers, failures = run.answers(), run.failures()
    assert Counter(str(line["custom_id"]) for line in answers + failures) == ids(40)
    assert {line["response"]["status_code"] for line in failures} == {422}  # type: ignore[index]
    assert f"failed lines: {run.errors}" in said


def test_what_the_window_leaves_expires(tmp_path: Path, shared_sim: Sim) -> None:
    """When time is over, what hangs is written off, what was answered stays: exit 5."""
    shared_sim.set("faults", "hang:0.5")
    run = OneShot(tmp_path, shared_sim.url, request_lines(40))
    code, said = run.go("--window", "2s", "--start-concurrency", "40")
    assert code == 5, said
    answers, failures = run.answers(), run.failures()
    assert Counter(str(line["custom_id"]) for line in answers + failures) == ids(40)
    assert 0 < len(answers) < 40
    assert {line["error"]["code"] for line in failures} == {"batch_expired"}  # type: ignore[index]


def test_ctrl_c_stops_cleanly_and_the_next_run_goes_on(tmp_path: Path, shared_sim: Sim) -> None:
    """Lines at the upstream land first: no line is asked twice."""
    shared_sim.set("latency", "fixed:0.1")
    run = OneShot(tmp_path, shared_sim.url, request_lines(400))
    with run.start("--max-concurrency", "40") as process:
        until(lambda: run.recorded > 0)
        process.send_signal(signal.SIGINT)
        _, said = process.communicate()
    assert process.returncode == 130
    kept = run.recorded
    assert 0 < kept < 400
    assert f"stopped: {kept} of 400 lines have their answer and are kept." in said
    assert "run the same command again" in said
    code, said = run.go()
    assert code == 0
    assert f"going on: {kept} of 400 lines have their answer already" in said
    assert Counter(str(line["custom_id"]) for line in run.answers()) == ids(400)
    served = shared_sim.served()
    assert (len(served), sum(served.values())) == (400, 400)


def test_ctrl_c_twice_stops_at_once(tmp_path: Path, shared_sim: Sim) -> None:
    """Whoever cannot wait for the upstream need not."""
    shared_sim.set("latency", "fixed:30")
    run = OneShot(tmp_path, shared_sim.url, request_lines(5))
    with run.start() as process:
        until(lambda: run.output.with_name("out.jsonl.state").exists())
        assert process.stderr is not None
        for wanted in ("stopping: waiting", ""):
            process.send_signal(signal.SIGINT)
            while wanted and wanted not in process.stderr.readline():
                pass
        assert process.wait(timeout=3) == 130


def kill_at_random(seed: int, kills: int, run: OneShot, sim: Sim) -> None:
    """Kill a run at moments that chance chooses, then let it end."""
    chance, width = Random(seed), 40
    sim.set("latency", "fixed:0.1")
    killed = 0
    while killed < kills:
        with run.start("--max-concurrency", str(width)) as process:
            try:
                process.communicate(timeout=chance.uniform(0.3, 2.0))
                break
            except subprocess.TimeoutExpired:
                process.kill()
                killed += 1
    if not run.output.exists():
        code, said = run.go()
        assert code == 0, said
    assert Counter(str(line["custom_id"]) for line in run.answers()) == ids(1_000)
    served = sim.served()
    assert len(served) == 1_000
    # Lost are those in flight, and those answered within the last piece of 0.2 s.
    assert sum(served.values()) - 1_000 <= killed * width * 4


@pytest.mark.parametrize("seed", range(2))
def test_a_killed_run_goes_on(seed: int, tmp_path: Path, shared_sim: Sim) -> None:
    """Four kills at random moments: nothing is lost, nothing twice."""
    run = OneShot(tmp_path, shared_sim.url, request_lines(1_000))
    kill_at_random(seed, 4, run, shared_sim)


@pytest.mark.soak
def test_many_killed_runs(tmp_path: Path, shared_sim: Sim) -> None:
    """As many kills as asked for."""
    for seed in range(int(os.environ.get("KILLS", "100")) // 4):
        folder = tmp_path / str(seed)
        folder.mkdir()
        run = OneShot(folder, shared_sim.url, request_lines(1_000))
        kill_at_random(1_000 + seed, 4, run, shared_sim.calm())


def test_an_answer_cut_off_by_a_crash_is_asked_again(tmp_path: Path, shared_sim: Sim) -> None:
    """Half a line at the end of a partial output is no answer."""
    shared_sim.set("latency", "fixed:0.1")
    run = OneShot(tmp_path, shared_sim.url, request_lines(300))
    with run.start("--max-concurrency", "20") as process:
        until(lambda: run.recorded > 0)
        process.kill()
    partial = run.output.with_name("out.jsonl.partial")
    os.truncate(partial, partial.stat().st_size - 7)
    code, said = run.go()
    assert code == 0, said
    assert Counter(str(line["custom_id"]) for line in run.answers()) == ids(300)


def test_another_input_is_refused(tmp_path: Path, shared_sim: Sim) -> None:
    """What was begun for one input is not mixed with another."""
    shared_sim.set("latency", "fixed:0.1")
    run = OneShot(tmp_path, shared_sim.url, request_lines(300))
    with run.start("--max-concurrency", "20") as process:
        until(lambda: run.recorded > 0)
        process.kill()
    run.source.write_bytes(request_lines(299))
    code, said = run.go()
    assert code == 1
    assert "was begun for another input" in said


def test_a_second_run_for_the_same_output_is_refused(tmp_path: Path, shared_sim: Sim) -> None:
    """Two at once would ask everything twice."""
    shared_sim.set("latency", "fixed:0.1")
    run = OneShot(tmp_path, shared_sim.url, request_lines(3_000))
    with run.start("--max-concurrency", "20") as process:
        until(lambda: run.recorded > 0)
        code, said = run.go()
        shared_sim.set("latency", "instant")
        process.communicate()
    assert (code, process.returncode) == (1, 0)
    assert "is being written by another run" in said
    assert Counter(str(line["custom_id"]) for line in run.answers()) == ids(3_000)


def test_the_upstream_may_come_later(tmp_path: Path) -> None:
    """A run waits for an upstream that is down, and no line is burnt."""
    (tmp_path / "first").mkdir()
    (tmp_path / "second").mkdir()
    gone = Sim(tmp_path / "first")
    gone.close()
    run = OneShot(tmp_path, gone.url, request_lines(20))
    with run.start() as process:
        until(lambda: run.output.with_name("out.jsonl.state").exists())
        port = gone.url.split(":")[2].removesuffix("/v1")
        back = Sim(tmp_path / "second", "--port", port)
        _, said = process.communicate()
    assert process.returncode == 0, said
    assert sum(back.served().values()) == 20
    back.close()


def test_without_an_upstream_it_says_what_to_do(tmp_path: Path) -> None:
    """Nothing named, nothing found nearby: the next steps are named."""
    if any(listens(port) for port in USUAL_PORTS):
        pytest.skip("a model server, or somebody, listens on a usual port of this machine")
    source = tmp_path / "in.jsonl"
    source.write_bytes(request_lines(1))
    environment = {name: value for name, value in os.environ.items() if "OPENAI" not in name}
    ran = subprocess.run(
        command("run", str(source), "-o", str(tmp_path / "out.jsonl")),
        env=environment,
        capture_output=True,
        text=True,
        check=False,
    )
    assert ran.returncode == 1
    assert "--upstream http://HOST:PORT/v1" in ran.stderr
    assert "OPENAI_BASE_URL" in ran.stderr


def listens(port: int) -> bool:
    """Whether somebody listens on a port of this machine."""
    with socket.socket() as probe:
        return probe.connect_ex(("127.0.0.1", port)) == 0
