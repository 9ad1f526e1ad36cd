"""The two result files of a one-shot run: begun, gone on with, and given their final names.

While a run works, results stand in `*.partial` files beside the final names. A result line's id
ends with the index of its input line, so the partial files alone tell a later run what is missing.
`OUT.state` says which input they belong to; whoever has it locked is the run that writes them.
"""

import fcntl
import os
from collections.abc import Iterable, Iterator
from contextlib import suppress
from pathlib import Path
from typing import Literal

import msgspec
from msgspec import Raw, Struct

from batchyard.flow.failure_counts import FailureTally, count_failures
from batchyard.flow.landing import Landing, written_off
from batchyard.flow.shards import Tally
from batchyard.places.append_files import AppendFiles, FileReplacedError
from batchyard.places.transport import Answer
from batchyard.places.whole import install, sync_folder
from batchyard.wire.lines import AnswerFacts, line_id, read_result

__all__ = ["Answered", "Outputs", "OutputsError"]

Kind = Literal["output", "error"]
_INDEX_DIGITS = 8
_COPY_BYTES = 1 << 20


class OutputsError(Exception):
    """The result files cannot be begun, or gone on with; the text says why and what to do."""


class Answered(Struct):
    """What partial files hold: which lines have their result, as a bit mask, and what they add to.

    `surplus` results stood there a second time, and `damaged` ones could not be read; both were
    taken out.
    """

    mask: bytearray
    tally: Tally
    failures: FailureTally
    surplus: int = 0
    damaged: int = 0

    def take(self, index: int) -> bool:
        """Mark a line as answered; False where it was already."""
        bit = 1 << (index & 7)
        if self.mask[index >> 3] & bit:
            return False
        self.mask[index >> 3] |= bit
        return True


class _State(Struct, frozen=True):
    """What the partial files belong to."""

    input_sha256: str
    input_bytes: int
    line_id_prefix: str


class _Response(Struct):
    status_code: int
    body: Raw


class _Error(Struct):
    code: str
    message: str


class _FailedLine(Struct):
    """A line of an error file."""

    custom_id: str
    response: _Response | None
    error: _Error | None


class Outputs:
    """The two result files while they grow.

    Raises OutputsError where a finished output is in the way, where another run is at it, or where
    the partial files were begun for another input.
    """

    def __init__(
        self, output: Path, errors: Path, *, input_sha256: str, input_bytes: int, prefix: str
    ) -> None:
        self._final: dict[Kind, Path] = {"output": output, "error": errors}
        self._partial = {kind: _beside(path, ".partial") for kind, path in self._final.items()}
        self._state = _beside(output, ".state")
        self._files = AppendFiles(())
        if not self._state.exists():
            self._refuse_finished()
        self._lock = _locked(self._state, output)
        try:
            self.line_id_prefix = self._begin(_State(input_sha256, input_bytes, prefix))
        except BaseException:
            os.close(self._lock)
            raise

    def answered(self, lines: int) -> Answered:
        """Read what is there of results, each line's first; then the files may be added to.

        A result that stands there twice is taken out, and so is a line that cannot be read: the
        final files have each line of the input once. Raises OutputsError for a foreign line.
        """
        found = Answered(bytearray((lines + 7) // 8), Tally(), FailureTally())
        for kind, path in self._partial.items():
            path.touch()
            wrong = list(self._read(kind, path, lines, found))
            if wrong:
                _take_out(path, wrong)
        self._files = AppendFiles(tuple(self._partial.values()))
        for folder in {path.parent for path in self._partial.values()}:
            sync_folder(folder)
        return found

    def append(self, output: bytes, errors: bytes) -> None:
        """Add results to both files and make them durable.

        Raises OSError, and then nothing was added to either. Raises OutputsError where the files
        are no longer there.
        """
        try:
            self._verify_lock()
            self._files.append((output, errors))
        except FileReplacedError as error:
            raise OutputsError(
                f"{error} was removed or changed while this run was writing it; the run has "
                "stopped. Leave the .partial and .state files alone until it has ended. Run the "
                "same command again: it asks what has no answer there."
            ) from error

    def publish(self) -> None:
        """Give the files their final names; an error file only where there are errors.

        Raises OSError or OutputsError; then the same command, run again, has only this to do.
        """
        self._files.close()
        for kind, path in self._partial.items():
            final = self._final[kind]
            if kind == "error" and not path.stat().st_size:
                path.unlink()
                continue
            if final.exists():
                raise OutputsError(
                    f"{final} was made by somebody else meanwhile. All results are kept in {path}: "
                    f"move {final} away and run the same command again; nothing is asked anew."
                )
            install(path, final)
        self._state.unlink()
        self.close()

    def close(self) -> None:
        """Leave the files as they are, for a later run to go on; a second time is no fault."""
        self._files.close()
        lock, self._lock = self._lock, -1
        if lock >= 0:
            os.close(lock)

    def _begin(self, state: _State) -> str:
        """Hold the state against the one that is there, or write it; returns the prefix of ids."""
        begun = os.pread(self._lock, _COPY_BYTES, 0)
        found = _decoded(begun)
        if found is None:
            kept = [path for path in self._partial.values() if _size_bytes(path)]
            if kept:
                raise OutputsError(
                    f"{self._state} is damaged: it does not say any more which input the results "
                    f"in {kept[0]} belong to. Move {kept[0]} away to keep them, remove "
                    f"{self._state}, and run again."
                )
            self._refuse_finished()
            self._write_state(state)
            return state.line_id_prefix
        if (found.input_sha256, found.input_bytes) != (state.input_sha256, state.input_bytes):
            raise OutputsError(
                f"{self._final['output']} was begun for another input. To go on with that one, put "
                f"its old content back. For this one choose another -o, or remove "
                f"{self._state} and {self._partial['output']}."
            )
        for kind, path in self._partial.items():
            final = self._final[kind]
            if final.exists():
                if path.exists():
                    raise OutputsError(_in_the_way(final))
                # The run before was ended while it gave its files their names.
                final.replace(path)
        return found.line_id_prefix

    def _refuse_finished(self) -> None:
        for path in self._final.values():
            if path.exists():
                raise OutputsError(_in_the_way(path))

    def _write_state(self, state: _State) -> None:
        try:
            os.ftruncate(self._lock, 0)
            rest = msgspec.json.encode(state)
            at = 0
            while at < len(rest):
                at += os.pwrite(self._lock, rest[at:], at)
            os.fsync(self._lock)
            sync_folder(self._state.parent)
        except OSError:
            # Half a state is none: whoever comes next begins anew.
            with suppress(OSError):
                os.ftruncate(self._lock, 0)
            raise

    def _verify_lock(self) -> None:
        """Raise FileReplacedError where another run could have begun on the same outputs."""
        if not _is_at(self._state, self._lock):
            raise FileReplacedError(str(self._state))

    def _read(
        self, kind: Kind, path: Path, lines: int, found: Answered
    ) -> Iterator[tuple[int, int]]:
        """Count the results of a file; yields where those begin and end that are to go."""
        start = 0
        for number, line in enumerate(_whole_lines(path), 1):
            end = start + len(line)
            index, facts = self._result(line, kind)
            if index is None:
                found.damaged += 1
                yield start, end
            elif index < 0 or index >= lines:
                raise OutputsError(
                    f"{path}:{number}: this line is no result of this run. Take it out, or choose "
                    "another -o."
                )
            elif not found.take(index):
                found.surplus += 1
                yield start, end
            else:
                found.tally.count(facts)
                if facts is None:
                    found.failures.add(count_failures(0, [_failed(index, line)]))
            start = end

    def _result(self, line: bytes, kind: Kind) -> tuple[int | None, AnswerFacts | None]:
        """Index and facts of a result; the index is None where it is damaged, -1 where foreign."""
        try:
            result = read_result(line)
        except (msgspec.MsgspecError, ValueError, LookupError, RecursionError):
            return None, None
        digits = result.id[-_INDEX_DIGITS:]
        try:
            index = int(digits, 16)
        except ValueError:
            return -1, None
        if not 0 <= index < 1 << 32 or line_id(self.line_id_prefix, index) != result.id:
            return -1, None
        if kind == "error":
            return index, None
        return index, result.facts or AnswerFacts()


def _failed(index: int, line: bytes) -> Landing:
    """How the line of an error file came back."""
    try:
        found = msgspec.json.decode(line, type=_FailedLine)
    except msgspec.DecodeError:
        # Lone surrogates, which the decoder refuses; its kind is all that is lost.
        return written_off(index, None, "other", "")
    if found.response is None:
        error = found.error or _Error("other", "")
        return written_off(index, found.custom_id, error.code, error.message)
    answer = Answer(found.response.status_code, [], bytes(found.response.body))
    return Landing(index, found.custom_id, 0, answer)


def _in_the_way(path: Path) -> str:
    return f"{path} exists already; nothing was asked. Remove it or choose another -o."


def _beside(path: Path, suffix: str) -> Path:
    return path.with_name(path.name + suffix)


def _decoded(state: bytes) -> _State | None:
    try:
        return msgspec.json.decode(state, type=_State)
    except msgspec.DecodeError:
        return None


def _size_bytes(path: Path) -> int:
    try:
        return path.stat().st_size
    except FileNotFoundError:
        return 0


def _is_at(path: Path, descriptor: int) -> bool:
    """Whether a path leads to the open file."""
    try:
        there = path.stat()
    except FileNotFoundError:
        return False
    ours = os.fstat(descriptor)
    return (there.st_dev, there.st_ino) == (ours.st_dev, ours.st_ino)


def _locked(path: Path, output: Path) -> int:
    """A file that is this process's alone until it is closed."""
    while True:
        descriptor = os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o666)
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            os.close(descriptor)
            raise OutputsError(f"{output} is being written by another run.") from None
        except OSError:
            os.close(descriptor)
            raise
        if _is_at(path, descriptor):
            return descriptor
        # The run that had it has ended between our two calls, and has removed it.
        os.close(descriptor)


def _whole_lines(path: Path) -> Iterator[bytes]:
    """The complete lines of a file; what a crash left of one more is cut off."""
    end = 0
    with path.open("rb") as file:
        for line in file:
            if line.endswith(b"\n"):
                end += len(line)
                yield line
    if end < path.stat().st_size:
        os.truncate(path, end)


def _take_out(path: Path, ranges: Iterable[tuple[int, int]]) -> None:
    """Rewrite a file without these ranges of bytes, which are in order; whole or not at all."""
    beside = _beside(path, ".mended")
    try:
        with path.open("rb") as file, beside.open("wb") as mended:
            for start, end in (*ranges, (path.stat().st_size, 0)):
                while left := start - file.tell():
                    mended.write(file.read(min(left, _COPY_BYTES)))
                file.seek(end)
        install(beside, path)
    finally:
        beside.unlink(missing_ok=True)
