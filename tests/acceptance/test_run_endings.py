"""`batchyard run` where something ends or fails beside it: disk, upstream, terminal, reader."""

import json
import os
import resource
import signal
import subprocess
from collections import Counter
from collections.abc import Callable
from pathlib import Path

import psutil
import pytest

from tests.acceptance.processes import Sim, command, request_lines, until
from tests.acceptance.test_run import OneShot, ids


def heard(process: "subprocess.Popen[str]", wanted: str) -> str:
    """What it says up to the first line that has this."""
    assert process.stderr is not None
    said = ""
    for line in process.stderr:
        said += line
        if wanted in line:
            return said
    raise AssertionError(f"it never said '{wanted}', but: {said}")


def everything(run: OneShot) -> Counter[str]:
    """The custom_ids of both files."""
    lines = run.answers() + (run.failures() if run.errors.exists() else [])
    return Counter(str(line["custom_id"]) for line in lines)


def test_a_full_disk_costs_no_line_and_asks_none_twice(tmp_path: Path, shared_sim: Sim) -> None:
    """The system refuses to let files grow, in the middle of a write, and later lets them.

    Meanwhile the run says so and waits; answers and failed lines stand once each in the end.
    """
    shared_sim.set("faults", "422:0.5")
    shared_sim.set("latency", "fixed:0.02")
    run = OneShot(tmp_path, shared_sim.url, request_lines(600))
    with run.start("--max-concurrency", "20") as process:
        resource.prlimit(process.pid, resource.RLIMIT_FSIZE, (30_000, resource.RLIM_INFINITY))
        said = heard(process, "waiting: disk_low: results cannot be written")
        assert "File too large" in said
        room = (resource.RLIM_INFINITY, resource.RLIM_INFINITY)
        resource.prlimit(process.pid, resource.RLIMIT_FSIZE, room)
        _, said = process.communicate()
    assert process.returncode == 0, said
    assert ids(600) == everything(run)
    assert set(shared_sim.served().values()) == {1}


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGHUP])
def test_a_signal_gives_back_what_is_under_way(
    tmp_path: Path, shared_sim: Sim, number: signal.Signals
) -> None:
    """As Ctrl-C does: what is at the upstream lands, and the same command goes on."""
    shared_sim.set("latency", "fixed:0.1")
    run = OneShot(tmp_path, shared_sim.url, request_lines(200))
    with run.start("--max-concurrency", "20") as process:
        until(lambda: run.recorded > 0)
        process.send_signal(number)
        _, said = process.communicate()
    assert process.returncode == 130
    assert f"answers so far: {run.output}.partial" in said
    assert "run the same command again" in said
    shared_sim.set("latency", "instant")
    assert run.go()[0] == 0
    assert ids(200) == everything(run)
    assert set(shared_sim.served().values()) == {1}


def test_a_signal_that_is_ignored_stays_so(tmp_path: Path, shared_sim: Sim) -> None:
    """Under nohup, a terminal that goes away ends nothing."""
    shared_sim.set("latency", "fixed:0.1")
    run = OneShot(tmp_path, shared_sim.url, request_lines(100))
    words = command("run", str(run.source), "-o", str(run.output), "--upstream", shared_sim.url)
    with subprocess.Popen(["nohup", *words], stderr=subprocess.PIPE) as process:
        until(lambda: run.recorded > 0)
        process.send_signal(signal.SIGHUP)
        process.communicate()
    assert process.returncode == 0
    assert ids(100) == everything(run)


def test_a_simulated_upstream_does_not_outlive_its_run(tmp_path: Path) -> None:
    """Not even where the run is killed and can end nothing."""
    body = {"model": "sim-small", "messages": [{"role": "user", "content": "hello"}]}
    run = OneShot(tmp_path, "sim", request_lines(1, body))
    children: list[psutil.Process] = []

    def is_there() -> bool:
        children[:] = psutil.Process(process.pid).children()
        return bool(children)

    with run.start("--window", "30d") as process:
        until(is_there)
        process.kill()
    psutil.wait_procs(children, timeout=20)
    assert not [one for one in children if one.is_running()]


def test_a_run_goes_on_when_nobody_reads_its_progress(tmp_path: Path, shared_sim: Sim) -> None:
    """As in `2>&1 | head`: the pipe is closed, and no result is written twice for that."""
    shared_sim.set("latency", "fixed:0.05")
    run = OneShot(tmp_path, shared_sim.url, request_lines(300))
    with run.start("--max-concurrency", "20") as process:
        assert process.stderr is not None
        process.stderr.readline()
        process.stderr.close()
        assert process.wait() == 0
    assert ids(300) == everything(run)
    assert set(shared_sim.served().values()) == {1}


@pytest.mark.parametrize(
    ("faults", "said"),
    [("429-huge:1", "waiting: upstream_throttling: "), ("401:1", "set OPENAI_API_KEY")],
)
def test_why_a_run_stands_still_is_said(
    tmp_path: Path, shared_sim: Sim, faults: str, said: str
) -> None:
    """At once, on a line of its own, also where nothing is drawn over."""
    shared_sim.set("faults", faults)
    run = OneShot(tmp_path, shared_sim.url, request_lines(50))
    with run.start("--plain") as process:
        heard(process, said)
        process.send_signal(signal.SIGINT)
        process.communicate()
    assert process.returncode == 130


def test_an_upstream_that_is_down_is_told_and_its_return_too(tmp_path: Path) -> None:
    """A line when the reason comes, and one when it goes."""
    gone = Sim(tmp_path)
    gone.close()
    run = OneShot(tmp_path, gone.url, request_lines(20))
    with run.start() as process:
        heard(process, "waiting: upstream_down: ")
        back = Sim(tmp_path, "--port", gone.url.split(":")[2].removesuffix("/v1"))
        _, said = process.communicate()
    back.close()
    assert process.returncode == 0, said
    assert ids(20) == everything(run)


def test_a_run_in_which_every_line_fails_says_so(tmp_path: Path, shared_sim: Sim) -> None:
    """With the causes, how often each came, and one line as the example; exit 5."""
    shared_sim.set("faults", "422:1")
    run = OneShot(tmp_path, shared_sim.url, request_lines(40))
    code, said = run.go()
    assert code == 5
    assert "No line was answered: every one of them failed." in said
    assert "40 lines failed with invalid_request_error (HTTP 422), the first is line 1:" in said
    assert f"failed lines: {run.errors}" in said


@pytest.mark.parametrize("timeout", ["0.3", "1m"])
def test_an_answer_has_as_long_as_is_said(tmp_path: Path, shared_sim: Sim, timeout: str) -> None:
    """Seconds, or a time with its unit; what takes longer is given up."""
    shared_sim.set("latency", "fixed:1")
    run = OneShot(tmp_path, shared_sim.url, request_lines(4))
    code, said = run.go("--timeout", timeout, "--window", "6s")
    answered = 0 if timeout == "0.3" else 4
    assert (5 if not answered else 0) == code, said
    assert answered == len(run.answers())
    if not answered:
        codes = {json.loads(line)["error"]["code"] for line in run.errors.read_text().splitlines()}
        assert codes <= {"request_timeout", "batch_expired"}


@pytest.mark.parametrize(
    ("through", "write"),
    [
        ("file", lambda lines: lines[:-1]),
        ("file", lambda lines: b"\n\n" + lines + b"\n  \n"),
        ("pipe", lambda lines: lines.replace(b"\n", b"\r\n")),
        ("pipe", lambda lines: b"\xef\xbb\xbf" + lines.replace(b"\n", b"\n\n \t\r\n")),
    ],
)
def test_lines_are_found_however_they_end(
    tmp_path: Path, shared_sim: Sim, through: str, write: Callable[[bytes], bytes]
) -> None:
    """No last line feed, CRLF, blank lines, a byte order mark; as a file and on stdin."""
    run = OneShot(tmp_path, shared_sim.url, write(request_lines(5)))
    source = str(run.source) if through == "file" else "-"
    words = command("run", source, "-o", str(run.output), "--upstream", shared_sim.url)
    done = subprocess.run(
        words, input=run.source.read_bytes(), capture_output=True, check=False, cwd=tmp_path
    )
    assert done.returncode == 0, done.stderr
    assert ids(5) == everything(run)


def test_two_runs_at_the_same_output_share_nothing(tmp_path: Path, shared_sim: Sim) -> None:
    """Whichever comes second is refused, also while the first has not been answered once."""
    shared_sim.set("latency", "fixed:30")
    run = OneShot(tmp_path, shared_sim.url, request_lines(5))
    with run.start() as process:
        until(lambda: Path(f"{run.output}.state").exists() and shared_sim.in_flight() > 0)
        code, said = run.go()
        os.kill(process.pid, signal.SIGKILL)
    assert code == 1
    assert "is being written by another run" in said
