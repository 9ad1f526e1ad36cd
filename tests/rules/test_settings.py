"""Wrong settings: each is told with its line, what is allowed, and the nearest name there is."""

import re
from pathlib import Path

import pytest

from batchyard.config import SettingsError, read_settings

UPSTREAM = '[[upstream]]\nurl = "http://127.0.0.1:8000/v1"\n'
# What stands in the file, the line that is named, and what is said of it.
WRONG = [
    ("prot = 8080", 1, "There is no setting 'prot'. Did you mean port?"),
    ("Workers = 2", 1, "Did you mean workers?"),
    ("base-url = 'x'", 1, "Did you mean url, below [[upstream]]?"),
    ("zzzzzz = 1", 1, "There are: host, port, data"),
    ("\n\nmax_concurrency = 8", 3, "It stands below [[upstream]]."),
    (UPSTREAM + "port = 1", 3, "It stands at the top of the file"),
    (UPSTREAM + "max_concurency = 1", 3, "in [[upstream]]. Did you mean max_concurrency?"),
    (UPSTREAM + "api_key = 'sk-secret'", 3, "Did you mean api_key_env?"),
    ("[upstream]\nurl = 'http://a'", 1, "[upstream] must be [[upstream]]"),
    ("upstream = 'http://a'", 1, "write [[upstream]] above each"),
    ("upstream = ['http://a']", 1, "write [[upstream]] above each"),
    ("price = 3", 1, "write [[price]] above each"),
    ("[[upstream]]\nname = 'a'", 1, "[[upstream]] needs url."),
    ("workers = 0", 1, "workers = 0 must be a whole number from 1 to 64."),
    ("workers = 65", 1, "workers = 65 must be a whole number from 1 to 64."),
    ("workers = -1", 1, "from 1 to 64"),
    ("workers = 1.5", 1, "workers = 1.5 must be a whole number"),
    ("workers = true", 1, "workers = true must be a whole number"),
    ("workers = '2'", 1, "workers must be a whole number"),
    ("port = 99999", 1, "port = 99999 must be a whole number from 0 to 65,535."),
    ("port = -1", 1, "from 0 to 65,535"),
    ("host = ''", 1, "host must be an address or a name"),
    ("host = 'a b'", 1, "host must be an address or a name"),
    ("host = 3", 1, "host = 3 must be a text"),
    ("data = ' '", 1, "data must be a folder"),
    ("profile = 'lax'", 1, 'profile = \'lax\' must be "relaxed" or "strict".'),
    ("azure_errors = 1", 1, "azure_errors = 1 must be true or false."),
    ("lease_seconds = 0", 1, "lease_seconds = 0 must be a number from 0.1 to 3,600."),
    ("lease_seconds = 1e9", 1, "from 0.1 to 3,600"),
    ("lease_seconds = nan", 1, "lease_seconds = nan must be a number"),
    ("lease_seconds = inf", 1, "lease_seconds = inf must be a number"),
    ("worker_silence_seconds = 0", 1, "must be a number above 0, at most 86,400."),
    ("cancel_grace_seconds = -1", 1, "must be a number from 0 to 86,400."),
    ("requests_per_minute = 0", 1, "must be a whole number from 1"),
    ("disk_free_bytes_min = -1", 1, "must be a whole number from 0"),
    ("batch_discount = 50", 1, "batch_discount = 50 must be a number from 0 to 1."),
    ("cors_origins = ['https://a.example/']", 1, "is no origin: write https://HOST"),
    ("cors_origins = '*'", 1, "cors_origins must be a list of texts"),
    ("webhook_hosts = ['https://a.example/x']", 1, "must be HOST or HOST:PORT"),
    ("webhook_hosts = [1]", 1, "must be a list of texts"),
    ("[[price]]\nmodel = 'm'", 1, "the price of 'm' needs either input and output"),
    ("[[price]]\nmodel = 'm'\ninput = nan", 3, "input = nan must be a number"),
    ("[[upstream]]\nurl = 'localhost:8000'", 2, "must begin with http://"),
    ("[[upstream]]\nurl = 'http://u:sk-secret@h/'", 2, "no user name or password"),
    ("[[upstream]]\nurl = 'http://h/v1?key=sk-secret'", 2, "no query"),
    (UPSTREAM + "max_concurrency = 0", 3, "max_concurrency = 0 must be a whole number from 1"),
    (UPSTREAM + "max_concurrency = -1", 3, "from 1 to 100,000"),
    (UPSTREAM + "start_concurrency = 0", 3, "from 1 to 100,000"),
    (UPSTREAM + "start_concurrency = 9\nmax_concurrency = 8", 3, "is above max_concurrency"),
    (UPSTREAM + "timeout_seconds = 0", 3, "timeout_seconds = 0 must be a number above 0"),
    (UPSTREAM + "timeout_seconds = -3.5", 3, "above 0"),
    (UPSTREAM + "timeout_seconds = inf", 3, "timeout_seconds = inf must be a number"),
    (UPSTREAM + "models = 'm1'", 3, "models must be a list of texts"),
    (UPSTREAM + "models = ['']", 3, "models has an empty name"),
    (UPSTREAM + 'name = "a\\nb"', 3, "name must be a text that can be printed"),
    (UPSTREAM + "headers = { Host = 'a' }", 3, "Header 'Host' is written by Batchyard itself."),
    (UPSTREAM + "headers = { 'a b' = 'c' }", 3, "has a character that names must not have"),
    (UPSTREAM + 'headers = { a = "sk-secret\\n" }', 3, "The value of header 'a' has a line"),
    (UPSTREAM + "headers = { a = 1 }", 3, "headers must be a table of texts"),
    (UPSTREAM + "headers = { a = '1', A = '2' }", 3, "Header 'A' is set twice already"),
    (
        UPSTREAM + "api_key_env = 'K'\nheaders = { Authorization = 'Bearer sk-secret' }",
        4,
        "Header 'Authorization' is set by api_key_env already",
    ),
    (UPSTREAM + "\n[upstream.headers]\nHost = 'a'", 4, "Header 'Host' is written"),
    (UPSTREAM + "api_key_env = 'A'\napi_key_file = 'b'", 4, "only one may be set"),
    (UPSTREAM * 2, 1, "Two upstreams are called"),
    (UPSTREAM + "name = 'a'\n" + UPSTREAM + "name = 'b'", 1, "stands there twice"),
    ("port = 8080\nport = 8081", None, "cannot be read: Cannot overwrite a value"),
    ("port == 1", None, "cannot be read: Invalid value (at line 1"),
]


@pytest.mark.parametrize(("text", "line", "said"), WRONG)
def test_each_wrong_setting_is_told(tmp_path: Path, text: str, line: int | None, said: str) -> None:
    """Its line, and what is allowed or meant; never what may be a secret."""
    file = tmp_path / "batchyard.toml"
    file.write_text(text)
    with pytest.raises(SettingsError) as caught:
        read_settings(file, {})
    message = str(caught.value)
    assert said in message
    if line is not None:
        assert message.startswith(f"{file}, line {line}: ")
    assert "secret" not in message
    assert "\n" not in message


def test_all_mistakes_are_told_at_once_in_the_order_of_the_file(tmp_path: Path) -> None:
    """Whoever mends one need not start again to hear of the next."""
    file = tmp_path / "batchyard.toml"
    file.write_text(
        '# ours\nprot = 1\nworkers = 0 # none\nprofile = """\nlax"""\n\n'
        '[[price]]\nmodel = "m"\ninput = 1\noutput = "2"\n\n'
        '[[upstream]]\nurl = "http://a/v1"\n\n'
        '[[upstream]]\n"url" = "ftp://b"\nmodels = [\n  "a", # ]\n  "",\n]\n'
        '[upstream.headers]\n"X = 1" = "a"\n'
    )
    with pytest.raises(SettingsError) as caught:
        read_settings(file, {"port": 70_000})
    found = re.findall(r"^(?:.*line (\d+)|--(\w+)): ", str(caught.value), re.MULTILINE)
    assert found == [
        ("", "port"),
        *[(line, "") for line in ("2", "3", "4", "10", "16", "17", "21")],
    ]


@pytest.mark.parametrize(
    ("line", "said"),
    [
        ('headers = { "Host" = "x", "Content-Type" = "y" }', ("'Host'", "'Content-Type'")),
        ('aliases = { "a" = "", "b" = "*" }', ("empty name", "'b'")),
        ("max_concurrency = 0 # and so on\ntimeout_seconds = 0", ("= 0", "= 0")),
    ],
)
def test_several_mistakes_of_one_table_are_told(
    tmp_path: Path, line: str, said: tuple[str, ...]
) -> None:
    """Also where they stand on one line."""
    file = tmp_path / "batchyard.toml"
    file.write_text(UPSTREAM + line)
    with pytest.raises(SettingsError) as caught:
        read_settings(file, {})
    told = str(caught.value).splitlines()
    assert len(told) == len(said)
    assert all(part in one for part, one in zip(said, told, strict=True)), told


def test_several_mistakes_of_an_inline_table_are_told(tmp_path: Path) -> None:
    """A list of tables may be written on one line as well."""
    file = tmp_path / "batchyard.toml"
    file.write_text('upstream = [{ url = "http://a", max_concurrency = 0, timeout_seconds = 0 }]')
    with pytest.raises(SettingsError) as caught:
        read_settings(file, {})
    told = str(caught.value).splitlines()
    assert len(told) == 2
    assert all(one.startswith(f"{file}, line 1: ") for one in told)


def test_values_are_told_with_the_table_they_are_in(tmp_path: Path) -> None:
    """What is of the right type is judged, too, and by the second table's own lines."""
    file = tmp_path / "batchyard.toml"
    file.write_text(f'{UPSTREAM}\n[[upstream]]\nurl = "ftp://b"\nname = "\\u0007"\n')
    with pytest.raises(SettingsError) as caught:
        read_settings(file, {})
    assert [*re.findall(r"line (\d+)", str(caught.value))] == ["5", "6"]


@pytest.mark.parametrize(
    ("content", "said"),
    [
        (b"port = 1 \xff", "not in UTF-8 (byte 10)"),
        ("port = 1".encode("utf-16"), "not in UTF-8 (byte 1)"),
        (b"a = " + b"[" * 100_000, "cannot be read"),
    ],
)
def test_a_file_that_is_no_text_is_told(tmp_path: Path, content: bytes, said: str) -> None:
    """In one line, whatever it is."""
    file = tmp_path / "batchyard.toml"
    file.write_bytes(content)
    with pytest.raises(SettingsError) as caught:
        read_settings(file, {})
    assert said in str(caught.value)


def test_a_folder_is_no_configuration_file(tmp_path: Path) -> None:
    """The reason is told as the system says it."""
    with pytest.raises(SettingsError, match="cannot be read: Is a directory"):
        read_settings(tmp_path, {})


def test_sound_settings_are_read(tmp_path: Path) -> None:
    """Bounds themselves are allowed, a byte order mark is none of our business, options win."""
    file = tmp_path / "batchyard.toml"
    file.write_text(
        "\ufeffworkers = 64\nport = 0\nlease_seconds = 0.5\ncors_origins = ['*', 'http://a:80']\n"
        "webhook_hosts = ['a.example', '10.0.0.1:80', '[::1]:80']\n"
        "[[upstream]]\nurl = 'sim'\n[[upstream]]\nurl = 'http://a/v1'\nname = 'a'\n"
        "models = ['m']\nheaders = { User-Agent = 'x', Accept = '*/*' }\n"
        "[[upstream]]\nurl = 'http://a/v1'\nname = 'b'\nmodels = ['n']\n",
        encoding="utf-8",
    )
    settings = read_settings(file, {"port": 65_535, "data": None})
    assert (settings.port, settings.workers, settings.lease_seconds) == (65_535, 64, 0.5)
    assert [one.url for one in settings.upstream] == ["sim", "http://a/v1", "http://a/v1"]
