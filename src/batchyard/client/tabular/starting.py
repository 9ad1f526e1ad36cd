"""Begins a campaign of rows: drafts, looks up, tries, prices, and submits."""

import itertools
import os
import platform
import secrets
import shutil
import sys
import tempfile
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from hashlib import sha256
from pathlib import Path
from random import Random
from typing import Any, TypedDict
from zlib import crc32

import msgspec

from batchyard.client.apis.pricing import prices_of
from batchyard.client.apis.profiles import config_file, destination_of, read_profiles
from batchyard.client.apis.targets import target_of_url
from batchyard.client.building.packing import INPUTS_MAX, OWN_INPUTS
from batchyard.client.building.requests import Request
from batchyard.client.building.rows import Row
from batchyard.client.building.schema import read_as
from batchyard.client.campaigns.beginning import Manifest, OtherInputError
from batchyard.client.campaigns.campaign import Campaign, in_loop
from batchyard.client.campaigns.intents import Diary, Step
from batchyard.client.campaigns.settings import Progress, Settings
from batchyard.client.campaigns.sharing import folder_at, is_url, move_in, place_of, url_of
from batchyard.client.campaigns.submit import settings_for
from batchyard.client.results.answering import Reading
from batchyard.client.results.outcomes import OUTCOMES, texts_of
from batchyard.client.tables import table_of
from batchyard.client.tabular.canary import CanaryError, Tried, chosen, sing, told
from batchyard.client.tabular.drafting import Draft, Key, Unit, draft
from batchyard.client.tabular.faithful import hold_to
from batchyard.client.tabular.preview import Preview, preview
from batchyard.client.tabular.rowwise import RowCampaign, Sheet
from batchyard.client.tabular.settling import settle, units_in
from batchyard.places.machine import cache_folder
from batchyard.places.remembered import ForgottenError, Remembered
from batchyard.places.whole import publish

__all__ = ["Asking", "Terms", "start"]

_PARENT = Path(".batchyard")


class Terms(TypedDict, total=False):
    """What every one-liner takes beside what it asks.

    `to` is `openai`, `azure`, a URL or a profile; OPENAI_BASE_URL unless given. `key` is the API
    key; that of the profile unless given. `id` is the column, or the columns, that name a row; its
    number unless given. `folder` is where the campaign lives, also a URL: the same call again goes
    on with the same one. `dry_run` submits nothing, and shows what would be; with `submit=False`
    that is left to `run()`. `canary` requests are asked at once before. With `dedupe=False` rows
    that ask the same are each asked; with `cache=False` answers of earlier campaigns are not used,
    and with a path they are kept there. Over `max_usd` nothing is submitted. `show` hears what is
    to be shown; it is written to stderr unless given. `confirm` is asked after the canary, whether
    to go on. `settings` are fields of `batchyard.Settings`.
    """

    to: str | None
    key: str | None
    id: Key
    folder: str | os.PathLike[str] | None
    dry_run: bool
    submit: bool
    canary: int
    dedupe: bool
    cache: bool | str | os.PathLike[str]
    max_usd: float | None
    show: Callable[[str], object]
    confirm: Callable[[], bool]
    settings: Mapping[str, Any]


@dataclass(frozen=True)
class Asking:
    """What is asked of rows, and how the answers are read; `opens` makes the campaign.

    With `packed`, many texts stand in a line, `per_line` of them.
    """

    rows: Any
    ask: Callable[[Row], Request | None]
    reading: Reading
    packed: bool = False
    per_line: int | None = None
    shape: Any = None
    opens: Callable[..., RowCampaign] = RowCampaign


def start(asking: Asking, terms: Terms) -> RowCampaign:
    """The campaign of these rows, submitted as far as its queue has room; or the one there is."""
    return _Start(asking, terms).go()


class _Start:
    """One call of a one-liner."""

    def __init__(self, asking: Asking, terms: Terms) -> None:
        self._asking, self._terms = asking, terms
        profiles = read_profiles(config_file(os.environ))
        place = destination_of(terms.get("to"), os.environ, profiles)
        self._key = terms.get("key") or place.key
        wanted = {"target": place.name, **(terms.get("settings") or {})}
        self._settings = settings_for(place.base_url, os.environ, **wanted)
        self._show = terms.get("show") or _to_stderr
        self._cache = _cache_of(terms.get("cache", True))
        self._table = table_of(asking.rows)
        self._told = set[str]()

    def go(self) -> RowCampaign:
        given, dry = self._terms.get("folder"), self._terms.get("dry_run")
        # What only shows is for nobody elsewhere.
        wanted = None if given is None or (dry and is_url(given)) else folder_at(given)
        parent = _PARENT if wanted is None else wanted.resolve().parent
        with _building(parent) as building:
            drafted = self._draft(building)
            identity = self._identity(drafted)
            folder = parent / f"{self._asking.reading.kind}-{identity[:12]}"
            folder = wanted or folder
            begun = _is_there(folder, identity)
            if not begun:
                self._prepare(drafted, identity)
                if not move_in(building, folder):
                    assert given is not None
                    _is_there(folder_at(given), identity)
        campaign = self._open(folder)
        if self._terms.get("dry_run"):
            if begun:
                self._show(f"These rows are under way already: {campaign!r}")
        elif self._terms.get("submit", True):
            campaign.run(self._tell, "submitted")
        return campaign

    def _tell(self, now: Progress) -> None:
        """Say for what it waits, which may be long; each reason once."""
        if now.waiting_for and now.waiting_for not in self._told:
            self._told.add(now.waiting_for)
            self._show(f"waiting: {now.waiting_for}")

    def _draft(self, building: Path) -> Draft:
        drafted = draft(
            self._table.rows(),
            self._asking.ask,
            building,
            custom_id=self._terms.get("id"),
            base_url=self._settings.base_url,
            dedupe=self._terms.get("dedupe", True),
        )
        if not drafted.rows:
            raise ValueError("There are no rows.")
        return drafted

    def _identity(self, drafted: Draft) -> str:
        """The same for the same rows asked the same way, and for no others."""
        whole = sha256(drafted.identity.encode())
        whole.update(msgspec.json.encode(self._asking.reading))
        return whole.hexdigest()

    def _prepare(self, drafted: Draft, identity: str) -> None:
        """Make the folder of the draft the folder of a campaign."""
        folder, tried = drafted.folder, self._try(drafted)
        lines = settle(drafted, tried, self._find, self._accepts, per_line=self._per_line())
        first = next(lines, None)
        if first is None:
            _begin_complete(folder, self._settings)
        else:
            Campaign.prepare(folder, itertools.chain([first], lines), self._settings)
        drafted.requests_path.unlink()
        sheet = Sheet(
            identity=identity,
            rows=drafted.rows,
            units=drafted.units,
            reading=self._asking.reading,
            packed=self._asking.packed,
            types=drafted.types | self._table.types(),
            cache=None if self._cache is None else str(self._cache),
        )
        publish(folder / "sheet.json", msgspec.json.encode(sheet))
        seen = self._preview(drafted)
        if self._terms.get("dry_run"):
            self._show(str(seen))
        seen.hold(self._terms.get("max_usd"))

    def _per_line(self) -> int | None:
        """Texts in a line of embeddings: what was said, or what this server is likely to bear."""
        asking = self._asking
        if not asking.packed:
            return None
        is_hosted = target_of_url(self._settings.base_url) is not None
        return asking.per_line or (INPUTS_MAX if is_hosted else OWN_INPUTS)

    def _preview(self, drafted: Draft) -> Preview:
        with (drafted.folder / "kept.jsonl").open("rb") as kept:
            known = sum(1 for _ in kept)
        return preview(
            drafted.folder / "input.jsonl",
            self._settings,
            prices_of(self._settings.base_url),
            rows=drafted.rows,
            units=drafted.units,
            known=known,
        )

    def _try(self, drafted: Draft) -> dict[int, bytes]:
        """The canary's answers, by request; CanaryError where it has none."""
        wanted = frozenset(chosen(drafted.units, self._terms.get("canary", 0)))
        if not wanted or self._terms.get("dry_run"):
            return {}
        keys = {unit: drafted.keys(unit, unit + 1)[0] for unit in wanted}
        known = self._find(list(keys.values()))
        lines = {
            unit: line
            for unit, line in enumerate(units_in(drafted.requests_path))
            if unit in wanted and keys[unit] not in known
        }
        if not lines:
            return {}
        tried: dict[int, Tried] = in_loop(sing(lines, self._settings, self._key))
        self._show(told(tried))
        answers = {unit: one.body for unit, one in tried.items() if one.body is not None}
        if not answers:
            raise CanaryError(next(iter(tried.values())).error)
        self._keep({keys[unit]: body for unit, body in answers.items()})
        if not self._terms.get("confirm", _yes)():
            raise CanaryError("Stopped after the sample; its answers are kept for the next time.")
        return answers

    def _keep(self, answers: Mapping[bytes, bytes]) -> None:
        if self._cache is not None:
            with suppress(ForgottenError):
                Remembered(self._cache, time.time).keep(answers)

    def _find(self, keys: Sequence[bytes]) -> Mapping[bytes, bytes]:
        if self._cache is None:
            return {}
        try:
            return Remembered(self._cache, time.time).find(keys)
        except ForgottenError as fault:
            self._show(f"Earlier answers are not used: {fault}")
            self._cache = None
            return {}

    def _accepts(self, line: bytes, body: bytes) -> bool:
        """Whether an answer from elsewhere is what is asked for now."""
        if self._asking.packed:
            return True
        text = next(texts_of(msgspec.json.decode(body)), "")
        try:
            self._asking.reading.value(text)
            if self._asking.shape is not None:
                read_as(self._asking.shape, text)
            if self._asking.reading.placeholders:
                hold_to(msgspec.json.decode(line, type=Unit), text)
        except ValueError:
            return False
        return True

    def _open(self, folder: Path) -> RowCampaign:
        return self._asking.opens(folder, self._key, shape=self._asking.shape)


def _is_there(folder: Path, identity: str) -> bool:
    """Whether the folder is the campaign of these rows; one that was never submitted gives way.

    Raises OtherInputError where it is another one, or something else.
    """
    path, elsewhere = folder / "sheet.json", url_of(folder) is not None
    if elsewhere and not (folder / "campaign.json").exists():
        return False
    if not folder.exists() or not any(folder.iterdir()):
        return False
    if not path.exists():
        raise OtherInputError(place_of(folder))
    if not elsewhere and not (folder / "diary.jsonl").exists():
        shutil.rmtree(folder)
        return False
    if msgspec.json.decode(path.read_bytes(), type=Sheet).identity != identity:
        raise OtherInputError(place_of(folder))
    return True


@contextmanager
def _building(parent: Path) -> Iterator[Path]:
    """A folder that is gone afterwards, unless it was given its name."""
    parent.mkdir(parents=True, exist_ok=True)
    ours = f".building-{crc32(platform.node().encode()):08x}-"
    for left in parent.glob(f"{ours}*"):
        if not _is_alive(int(left.name.removeprefix(ours).partition("-")[0])):
            shutil.rmtree(left, ignore_errors=True)
    folder = Path(tempfile.mkdtemp(prefix=f"{ours}{os.getpid()}-", dir=parent))
    try:
        yield folder
    finally:
        shutil.rmtree(folder, ignore_errors=True)


def _is_alive(process: int) -> bool:
    """Whether there is such a process on this machine."""
    try:
        os.kill(process, 0)
    except ProcessLookupError:
        return False
    except PermissionError:
        return True
    return True


def _begin_complete(folder: Path, settings: Settings) -> None:
    """A campaign that has nothing to ask."""
    for name in ("input.jsonl", "results.jsonl"):
        publish(folder / name, b"")
    chance = Random(secrets.randbits(128))
    manifest = Manifest(
        id=f"campaign_{chance.getrandbits(96):024x}",
        input_sha256=sha256().hexdigest(),
        requests=0,
        settings=settings,
    )
    publish(folder / "campaign.json", msgspec.json.encode(manifest))
    diary = Diary(folder, alone=True)
    diary.write(Step(did="merged", counts=dict.fromkeys(OUTCOMES, 0)))
    diary.close()


def _cache_of(asked: bool | str | os.PathLike[str]) -> Path | None:
    if isinstance(asked, bool):
        return cache_folder(os.environ) if asked else None
    return Path(asked)


def _to_stderr(text: str) -> None:
    sys.stderr.write(text + "\n")


def _yes() -> bool:
    return True
