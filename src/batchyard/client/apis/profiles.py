"""Batch APIs by name: their URLs, and where their keys are found."""

import json
import os
import re
import sys
import tomllib
from collections.abc import Mapping
from pathlib import Path

import msgspec
from msgspec import Struct
from msgspec.structs import replace

from batchyard.client.apis.targets import TARGETS, target_of_url
from batchyard.places.request_head import BaseUrl, usable_key
from batchyard.places.whole import replaced
from batchyard.wire.ids import KEY_PREFIX

__all__ = [
    "BUILT_IN",
    "Destination",
    "Profile",
    "ProfileError",
    "Profiles",
    "UnusableKeyError",
    "config_file",
    "destination_for",
    "destination_of",
    "read_profiles",
    "state_folder",
    "write_profiles",
]

_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9_-]{0,63}")
_HEAD = "# Written by `batchyard config`, which keeps no comments.\n"


class ProfileError(ValueError):
    """A target that cannot be used; the message names the place and the fix."""


class UnusableKeyError(ProfileError):
    """A key that cannot be sent, or must not be; the message shows nothing of it."""


class Profile(Struct, frozen=True, kw_only=True, omit_defaults=True, forbid_unknown_fields=True):
    """One Batch API, and where its key is found: in the environment, in a file, or here.

    How it is shown has no key in it.
    """

    url: str
    key_env: str | None = None
    key_file: str | None = None
    key: str | None = None

    def __repr__(self) -> str:
        return f"Profile({self.url!r}, key from {self.key_from})"

    @property
    def key_from(self) -> str:
        """Where the key is found, in words; never the key."""
        if self.key is not None:
            return "the profile itself"
        if self.key_file is not None:
            return f"the file {self.key_file}"
        return f"the environment's {self.key_env}" if self.key_env else "nowhere"

    def read_key(self, environment: Mapping[str, str]) -> str | None:
        """The key; None where the profile names none or the environment has none."""
        try:
            return usable_key(self._text(environment), self.key_from) or None
        except ValueError as error:
            raise UnusableKeyError(str(error)) from error

    def _text(self, environment: Mapping[str, str]) -> str:
        if self.key is not None:
            return self.key
        if self.key_file is None:
            return environment.get(self.key_env, "") if self.key_env else ""
        path = Path(self.key_file).expanduser()
        try:
            return path.read_text(encoding="utf-8")
        except UnicodeDecodeError:
            raise ValueError(f"The key file {path} is no text in UTF-8.") from None
        except OSError as error:
            raise ValueError(f"The key file {path} cannot be read: {error.strerror}.") from error


class Profiles(Struct, frozen=True, kw_only=True, omit_defaults=True, forbid_unknown_fields=True):
    """All profiles; `use` is that of who names none."""

    use: str | None = None
    profile: dict[str, Profile] = {}

    def with_(self, name: str, profile: Profile) -> "Profiles":
        """The same with this profile, in the place of one of the same name."""
        if not _NAME.fullmatch(name):
            raise ProfileError(f"'{name}' is no name: use letters, digits, - and _.")
        if profile.url != _AZURE:
            _check_url(profile.url)
        return replace(self, profile={**self.profile, name: profile})

    def without(self, name: str) -> "Profiles":
        """The same without this profile."""
        left = {known: one for known, one in self.profile.items() if known != name}
        return Profiles(use=None if self.use == name else self.use, profile=left)

    def known(self) -> dict[str, Profile]:
        """Those of the user, and those that everybody has."""
        return {**BUILT_IN, **self.profile}


_AZURE = "$AZURE_OPENAI_ENDPOINT/openai/v1"
# Azure has an address for each customer; it stands in the environment.
BUILT_IN: Mapping[str, Profile] = {
    **{
        name: Profile(url=one.base_url, key_env=f"{name.upper()}_API_KEY")
        for name, one in TARGETS.items()
        if one.base_url
    },
    "azure": Profile(url=_AZURE, key_env="AZURE_OPENAI_API_KEY"),
    "local": Profile(url="http://127.0.0.1:8080/v1", key_env="OPENAI_API_KEY"),
}


class Destination(Struct, frozen=True, kw_only=True):
    """Where calls go, and with which key; how it is shown has no key in it."""

    name: str
    base_url: str
    key: str | None = None
    key_from: str = "nowhere"

    def __repr__(self) -> str:
        return f"Destination({self.name!r}, {self.base_url!r}, key from {self.key_from})"


def destination_of(
    to: str | None, environment: Mapping[str, str], profiles: Profiles
) -> Destination:
    """Where `to` leads: the name of a profile, or a URL.

    Without one, OPENAI_BASE_URL counts, then the profile in use, then OpenAI. ProfileError where
    nothing has this name.
    """
    word = to or environment.get("OPENAI_BASE_URL") or profiles.use or "openai"
    if "://" in word:
        return destination_for(word, environment, profiles)
    profile = profiles.known().get(word)
    if profile is None:
        known = ", ".join(profiles.known())
        raise ProfileError(f"'{word}' is no URL and no profile. There are: {known}.")
    profile = replace(profile, url=_filled(profile.url, environment))
    return _with_key(word, profile, environment)


def destination_for(url: str, environment: Mapping[str, str], profiles: Profiles) -> Destination:
    """A base URL with the key of the profile that has it, else that of its host or OpenAI's."""
    _check_url(url)
    for name, one in profiles.known().items():
        if one.url.rstrip("/") == url.rstrip("/"):
            return replace(_with_key(name, one, environment), base_url=url)
    target = target_of_url(url)
    like = BUILT_IN.get(target.name) if target is not None else None
    own = like.key_env if like is not None else None
    name = own if own and environment.get(own) else "OPENAI_API_KEY"
    return _with_key(url, Profile(url=url, key_env=name), environment)


def config_file(environment: Mapping[str, str], platform: str = sys.platform) -> Path:
    """Where the profiles are, as is usual on this platform."""
    return _home("XDG_CONFIG_HOME", ".config", environment, platform) / "config.toml"


def state_folder(environment: Mapping[str, str], platform: str = sys.platform) -> Path:
    """Where it is noted what was submitted last, as is usual on this platform."""
    return _home("XDG_STATE_HOME", ".local/state", environment, platform)


def read_profiles(path: Path) -> Profiles:
    """The profiles in a file; none where there is no file."""
    try:
        found = tomllib.loads(path.read_text(encoding="utf-8"))
        return msgspec.convert(found, Profiles)
    except FileNotFoundError:
        return Profiles()
    except (OSError, ValueError, msgspec.ValidationError) as error:
        raise ProfileError(f"{path} cannot be used: {error}") from error


def write_profiles(path: Path, profiles: Profiles) -> None:
    """Write the file whole or not at all, for its owner alone."""
    lines = [_HEAD]
    if profiles.use is not None:
        lines.append(f"use = {json.dumps(profiles.use)}\n")
    for name, one in profiles.profile.items():
        lines.append(f"\n[profile.{name}]\n")
        fields = msgspec.to_builtins(one)
        lines += [f"{field} = {_quoted(text)}\n" for field, text in fields.items()]
    with replaced(path) as beside:
        beside.unlink(missing_ok=True)
        descriptor = os.open(beside, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
        with os.fdopen(descriptor, "w", encoding="utf-8") as file:
            file.write("".join(lines))


def _home(name: str, usual: str, environment: Mapping[str, str], platform: str) -> Path:
    given = environment.get(name)
    if given and Path(given).is_absolute():
        return Path(given) / "batchyard"
    home = Path(environment.get("HOME") or Path.home())
    usual = "Library/Application Support" if platform == "darwin" else usual
    return home / usual / "batchyard"


def _check_url(url: str) -> None:
    try:
        BaseUrl.parse(url)
    except ValueError as error:
        raise ProfileError(str(error)) from error


def _filled(url: str, environment: Mapping[str, str]) -> str:
    if url != _AZURE:
        return url
    endpoint = (environment.get("AZURE_OPENAI_ENDPOINT") or "").rstrip("/")
    if not endpoint:
        raise ProfileError("Set AZURE_OPENAI_ENDPOINT to the address of your resource.")
    url = endpoint if endpoint.endswith("/openai/v1") else f"{endpoint}/openai/v1"
    _check_url(url)
    return url


def _with_key(name: str, profile: Profile, environment: Mapping[str, str]) -> Destination:
    key = profile.read_key(environment)
    if key is not None and key.startswith(KEY_PREFIX) and target_of_url(profile.url) is not None:
        raise UnusableKeyError(
            f"The key from {profile.key_from} is one of a Batchyard server, and is not sent to "
            f"{profile.url}. Say which server is meant: --to URL, or OPENAI_BASE_URL."
        )
    return Destination(name=name, base_url=profile.url, key=key, key_from=profile.key_from)


def _quoted(text: str) -> str:
    # TOML's basic strings are JSON's, but for the sign DEL.
    return json.dumps(text).replace("\x7f", "\\u007f")
