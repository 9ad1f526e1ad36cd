"""The settings: `batchyard.toml`, overruled by the environment, overruled by the command line."""

import tomllib
from collections.abc import Mapping
from pathlib import Path
from typing import Annotated, Literal

import msgspec
from msgspec import Meta, Struct

from batchyard.places.upstreams import UpstreamSettings
from batchyard.rules.prices import PriceRule

__all__ = ["Settings", "SettingsError", "read_settings"]


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
    port: int = 8080
    data: str = "./batchyard-data"
    profile: Literal["strict", "relaxed"] = "relaxed"
    workers: int = 1
    requests_per_minute: Annotated[int, Meta(ge=1)] = 300_000
    azure_errors: bool = False
    lease_seconds: float = 30.0
    worker_silence_seconds: Annotated[float, Meta(gt=0)] = 90.0
    cancel_grace_seconds: float = 20.0
    cors_origins: tuple[str, ...] = ()
    webhook_hosts: tuple[str, ...] = ()
    webhook_private: bool = False
    disk_free_bytes_min: int = 256 << 20
    batch_discount: Annotated[float, Meta(ge=0, le=1)] = 0.0
    price: tuple[PriceRule, ...] = ()
    upstream: tuple[UpstreamSettings, ...] = ()


def read_settings(path: Path | None, given: Mapping[str, object]) -> Settings:
    """Read the file (by default `batchyard.toml`, where there is one) under what was given.

    Raises SettingsError when the file is missing, is no TOML, or has an unknown or wrong setting.
    """
    file = path or Path("batchyard.toml")
    read: dict[str, object] = {}
    if path is not None or file.exists():
        try:
            read = tomllib.loads(file.read_text(encoding="utf-8"))
        except FileNotFoundError as error:
            raise SettingsError(f"There is no configuration file {file}.") from error
        except (OSError, tomllib.TOMLDecodeError, UnicodeDecodeError) as error:
            raise SettingsError(f"{file} cannot be read: {error}") from error
    chosen = read | {name: value for name, value in given.items() if value is not None}
    try:
        return msgspec.convert(chosen, Settings)
    except msgspec.ValidationError as error:
        raise SettingsError(f"{file}: {error}") from error
