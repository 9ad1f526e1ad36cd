"""Names of Batch APIs, and their keys."""

import stat
from pathlib import Path

import pytest

from batchyard.client.apis.profiles import (
    Profile,
    ProfileError,
    Profiles,
    UnusableKeyError,
    config_file,
    destination_for,
    destination_of,
    read_profiles,
    state_folder,
    write_profiles,
)

PROD = Profile(url="https://batches.example.com/v1", key_env="PROD_KEY")
MINE = Profiles(use="prod", profile={"prod": PROD})
ENVIRONMENT = {"PROD_KEY": "p", "OPENAI_API_KEY": "o", "GROQ_API_KEY": "g"}


@pytest.mark.parametrize(
    ("to", "environment", "profiles", "url", "key"),
    [
        (None, {}, Profiles(), "https://api.openai.com/v1", None),
        (None, ENVIRONMENT, Profiles(), "https://api.openai.com/v1", "o"),
        (None, ENVIRONMENT, MINE, PROD.url, "p"),
        (None, ENVIRONMENT | {"OPENAI_BASE_URL": "http://x/v1"}, MINE, "http://x/v1", "o"),
        ("prod", ENVIRONMENT | {"OPENAI_BASE_URL": "http://x/v1"}, MINE, PROD.url, "p"),
        ("groq", ENVIRONMENT, MINE, "https://api.groq.com/openai/v1", "g"),
        (PROD.url, ENVIRONMENT, MINE, PROD.url, "p"),
        ("local", ENVIRONMENT, MINE, "http://127.0.0.1:8080/v1", "o"),
        (
            "azure",
            {"AZURE_OPENAI_ENDPOINT": "https://me.openai.azure.com/", "AZURE_OPENAI_API_KEY": "a"},
            MINE,
            "https://me.openai.azure.com/openai/v1",
            "a",
        ),
        (
            "https://me.openai.azure.com/openai/v1",
            {"AZURE_OPENAI_API_KEY": "a", "OPENAI_API_KEY": "o"},
            MINE,
            "https://me.openai.azure.com/openai/v1",
            "a",
        ),
    ],
)
def test_a_word_leads_somewhere(
    to: str | None, environment: dict[str, str], profiles: Profiles, url: str, key: str | None
) -> None:
    """`--to`, then OPENAI_BASE_URL, then the profile in use, then OpenAI, each with its own key."""
    found = destination_of(to, environment, profiles)
    assert (found.base_url, found.key) == (url, key)


@pytest.mark.parametrize("to", ["prdo", "ftp://x/v1", "http://u:secret@x/v1", "azure"])
def test_a_wrong_word_leads_nowhere(to: str) -> None:
    """What is no name and no URL is told, and never a password."""
    with pytest.raises(ProfileError) as caught:
        destination_of(to, {}, MINE)
    assert "secret" not in str(caught.value)


def test_a_destination_hides_its_key() -> None:
    """How it is shown says where the key comes from, not the key."""
    found = destination_for(PROD.url, {"PROD_KEY": "very-secret"}, MINE)
    assert found.key == "very-secret"
    assert "very-secret" not in repr(found)
    assert "PROD_KEY" in repr(found)
    assert "very-secret" not in repr(Profiles(profile={"x": Profile(url="u", key="very-secret")}))


def test_profiles_are_kept(tmp_path: Path) -> None:
    """What was written is read again, by its owner alone, whatever signs it has."""
    path = tmp_path / "deep" / "config.toml"
    odd = Profile(url="http://x/v1", key='"\\\x7f\u2028é#')
    write_profiles(path, MINE.with_("odd-1", odd))
    assert read_profiles(path) == Profiles(use="prod", profile={"prod": PROD, "odd-1": odd})
    assert stat.S_IMODE(path.stat().st_mode) == 0o600
    assert read_profiles(tmp_path / "none.toml") == Profiles()


@pytest.mark.parametrize(
    "text", ["use = 3", "[profile.x]\nurl=1", "[profile.x]\nurl='u'\nk=1", "="]
)
def test_a_broken_file_is_told(tmp_path: Path, text: str) -> None:
    """With its path."""
    path = tmp_path / "config.toml"
    path.write_text(text)
    with pytest.raises(ProfileError, match=r"config\.toml"):
        read_profiles(path)


def test_a_key_file_is_read(tmp_path: Path) -> None:
    """Its line feed is no part of the key; one that is missing is told."""
    (tmp_path / "key").write_text("k\n")
    assert Profile(url="u", key_file=str(tmp_path / "key")).read_key({}) == "k"
    with pytest.raises(ProfileError, match="none"):
        Profile(url="u", key_file=str(tmp_path / "none")).read_key({})


def test_files_are_where_the_platform_has_them() -> None:
    """XDG's variables first, then what is usual."""
    home = {"HOME": "/home/me"}
    there = Path("/home/me")
    assert config_file(home, "linux") == there / ".config/batchyard/config.toml"
    assert state_folder(home, "linux") == there / ".local/state/batchyard"
    mac = there / "Library/Application Support/batchyard"
    assert (config_file(home, "darwin"), state_folder(home, "darwin")) == (mac / "config.toml", mac)
    assert config_file({"XDG_CONFIG_HOME": "/c"}, "linux") == Path("/c/batchyard/config.toml")


@pytest.mark.parametrize(
    ("content", "said"),
    [
        (b"sk\xe2\x80\x93secret", "EN DASH"),
        ("sk-secret".encode("utf-16"), "is no text in UTF-8"),
        (None, "No such file"),
    ],
)
def test_a_key_that_cannot_be_sent_is_named_by_its_place(
    tmp_path: Path, content: bytes | None, said: str
) -> None:
    """Nothing of it is shown, and nothing is asked with it."""
    file = tmp_path / "key"
    if content is not None:
        file.write_bytes(content)
    profile = Profile(url="http://x/v1", key_file=str(file))
    with pytest.raises(UnusableKeyError) as caught:
        destination_of("mine", {}, Profiles(profile={"mine": profile}))
    assert str(file) in str(caught.value)
    assert said in str(caught.value)
    assert "secret" not in str(caught.value)


@pytest.mark.parametrize("to", [None, "openai", "https://api.groq.com/v9", "azure"])
def test_a_key_of_ours_is_not_sent_to_others(to: str | None) -> None:
    """What opens a Batchyard server is nothing that another API should see."""
    ours = {"OPENAI_API_KEY": "by_secret", "AZURE_OPENAI_API_KEY": "by_secret"}
    environment = ours | {"AZURE_OPENAI_ENDPOINT": "https://me.openai.azure.com"}
    with pytest.raises(UnusableKeyError, match="OPENAI_BASE_URL") as caught:
        destination_of(to, environment, Profiles())
    assert "secret" not in str(caught.value)


@pytest.mark.parametrize("to", ["local", "http://10.0.0.7:8080/v1", "https://batches.example/v1"])
def test_a_key_of_ours_is_sent_to_servers_of_ones_own(to: str) -> None:
    """Nobody but its owner knows where a Batchyard server is."""
    assert destination_of(to, {"OPENAI_API_KEY": "by_key\n"}, Profiles()).key == "by_key"
