"""The settings: `batchyard.toml`, overruled by the environment, overruled by the command line."""

import re
import tomllib
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Annotated, Literal

from msgspec import Meta, Struct

from batchyard.places.upstream_settings import UpstreamSettings, twice
from batchyard.rules.prices import PriceRule
from batchyard.rules.settings import Mistake, SettingsCheck
from batchyard.wire.toml_lines import KeyPath, lines_of_keys

__all__ = ["Settings", "SettingsError", "read_settings"]


_ORIGIN = r"\*|https?://(?:[0-9A-Za-z.-]+|\[[0-9A-Fa-f:.]+\])(?::[0-9]{1,5})?"
_HOST = r"(?:[0-9A-Za-z._-]+|[0-9A-Fa-f:.]+|\[[0-9A-Fa-f:.]+\])(?::[0-9]{1,5})?"


class SettingsError(ValueError):
    """The configuration cannot be used; the message names the place and the fix."""


class Settings(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """All there is to set.

    `profile`: `strict` is OpenAI to the letter, `relaxed` allows what own hardware allows.
    `requests_per_minute`: how often one key may ask the API, whatever it asks.
    `azure_errors`: errors on Azure's paths have Azure's codes.
    `lease_seconds`: a worker that is not heard of for so long is given up.
    `worker_silence_seconds`: a worker process that gives no sign of life for so long is killed and
    replaced; it may be frozen in the middle of a write, for which all others would wait.
    `disk_free_bytes_min`: with less room on the disk nothing is asked of an upstream, so that
    no answer that was paid for is lost.
    `price`: what models cost; without a row that fits, hosted ones cost what their provider lists,
    less `batch_discount`.
    `cancel_grace_seconds`: how long lines at the upstream may still come back after a cancel.
    `cors_origins`: pages of these origins may use the API from a browser; "*" stands for all.
    `webhook_hosts`, each `HOST` or `HOST:PORT`, may be told of batches wherever they are and
    without TLS; `webhook_private` allows that for all of this machine and its networks.
    """

    host: str = "127.0.0.1"
    port: Annotated[int, Meta(ge=0, le=65_535)] = 8080
    data: str = "./batchyard-data"
    profile: Literal["strict", "relaxed"] = "relaxed"
    workers: Annotated[int, Meta(ge=1, le=64)] = 1
    requests_per_minute: Annotated[int, Meta(ge=1, le=1_000_000_000)] = 300_000
    azure_errors: bool = False
    lease_seconds: Annotated[float, Meta(ge=0.1, le=3_600)] = 30.0
    worker_silence_seconds: Annotated[float, Meta(gt=0, le=86_400)] = 90.0
    cancel_grace_seconds: Annotated[float, Meta(ge=0, le=86_400)] = 20.0
    cors_origins: tuple[str, ...] = ()
    webhook_hosts: tuple[str, ...] = ()
    webhook_private: bool = False
    disk_free_bytes_min: Annotated[int, Meta(ge=0, le=1 << 60)] = 256 << 20
    batch_discount: Annotated[float, Meta(ge=0, le=1)] = 0.0
    price: tuple[PriceRule, ...] = ()
    upstream: tuple[UpstreamSettings, ...] = ()

    def faults(self) -> Iterator[tuple[str, str]]:
        """What is wrong with values of the right types."""
        if not re.fullmatch(r"[!-~]+", self.host):
            yield "host", "host must be an address or a name, such as 127.0.0.1 or 0.0.0.0."
        if not self.data.strip() or "\0" in self.data:
            yield "data", "data must be a folder."
        for origin in self.cors_origins:
            if not re.fullmatch(_ORIGIN, origin):
                yield (
                    "cors_origins",
                    f"cors_origins: {origin!r} is no origin: write https://HOST, with :PORT where "
                    'there is one and without a path, or "*" for all.',
                )
        for host in self.webhook_hosts:
            if not re.fullmatch(_HOST, host):
                yield (
                    "webhook_hosts",
                    f"webhook_hosts: {host!r} must be HOST or HOST:PORT, without https:// and "
                    "without a path.",
                )
        if second := twice(self.upstream):
            yield "upstream", second


def read_settings(path: Path | None, given: Mapping[str, object]) -> Settings:
    """Read the file (by default `batchyard.toml`, where there is one) under what was given.

    `given` are options of the command line by the names of their settings, None where one was not
    given. Raises SettingsError when the file is missing, is no TOML, or has settings that are
    unknown or wrong: the message names all of them, a line for each.
    """
    file = path or Path("batchyard.toml")
    text, read = "", {}
    if path is not None or file.exists():
        try:
            text = file.read_text(encoding="utf-8-sig")
            read = tomllib.loads(text)
        except FileNotFoundError as error:
            raise SettingsError(f"There is no configuration file {file}.") from error
        except OSError as error:
            raise SettingsError(f"{file} cannot be read: {error.strerror}.") from error
        except UnicodeDecodeError as error:
            raise SettingsError(
                f"{file} cannot be read: it is not in UTF-8 (byte {error.start + 1}). Save it so."
            ) from error
        except (tomllib.TOMLDecodeError, RecursionError) as error:
            raise SettingsError(f"{file} cannot be read: {error}.") from error
    options = {name: value for name, value in given.items() if value is not None}
    check = SettingsCheck()
    settings = check.read(Settings, read | options)
    if check.mistakes or settings is None:
        lines = lines_of_keys(text)
        placed = [(_line_of(one.path, lines, options), one) for one in check.mistakes]
        placed.sort(key=lambda found: found[0])
        raise SettingsError("\n".join(_told(file, line, one) for line, one in placed))
    return settings


def _line_of(path: KeyPath, lines: Mapping[KeyPath, int], options: Mapping[str, object]) -> int:
    """The line of a setting, or of the table that it is in; 0 where it stands in no file."""
    if path and path[0] in options:
        return 0
    while path and path not in lines:
        path = path[:-1]
    return lines.get(path, 0)


def _told(file: Path, line: int, mistake: Mistake) -> str:
    place = f"{file}, line {line}" if line else f"--{mistake.path[0]}"
    return f"{place}: {mistake.text}"
