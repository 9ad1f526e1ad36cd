"""The house rules that a machine can hold us to."""

import ast
import re
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest

from batchyard.places.store.founding import NEWEST

ROOT = Path(__file__).parent.parent
SOURCES = [path for path in sorted((ROOT / "src").rglob("*.py")) if "migrations" not in path.parts]
TESTS = sorted((ROOT / "tests").rglob("*.py"))
BANNED = set(
    re.findall(
        r"\w+",
        """manager handler processor service helper helpers util utils common item items data info
        payload context job jobs""",
    )
)
# Words that others gave us: asyncio calls `data_received`, OpenAI's lists have a key `data`, and
# `--data` names the folder that a server keeps.
ALLOWED = {
    "config.py": {"data"},
    "collector.py": {"manager"},
    "connection.py": {"data"},
    "http.py": {"data"},
    "gc.py": {"data"},
    "keys.py": {"data"},
    "log.py": {"info"},
    "machine.py": {"data"},
    "manager.py": {"manager"},
    "objects.py": {"data"},
    "parameters.py": {"context", "service"},
    "parts.py": {"data"},
    "projects.py": {"data"},
    "protocol.py": {"data"},
    "quota.py": {"data"},
    "serve.py": {"data"},
    "upstreams.py": {"data"},
    "usage.py": {"data"},
    "webhooks.py": {"data"},
    "why.py": {"data"},
    "worker.py": {"data"},
}
# Where a broad except may stand: at the edge of a lane, of a worker, of a door; each logs.
BROAD = {
    "flow/lanes.py",
    "flow/outbox.py",
    "flow/steps.py",
    "server/gate.py",
    "server/house.py",
    "sim/protocol.py",
}


def name_of(path: Path) -> str:
    """A path as a test id."""
    return str(path.relative_to(ROOT))


@pytest.mark.parametrize("path", SOURCES, ids=name_of)
def test_a_module_is_small_and_says_what_it_is(path: Path) -> None:
    """A module has at most 400 lines, and a docstring whose first line is a sentence."""
    text = path.read_text(encoding="utf-8")
    docstring = ast.get_docstring(ast.parse(text))
    assert text.count("\n") <= 400
    assert docstring
    assert docstring.split("\n\n")[0].rstrip().endswith((".", "`"))


@pytest.mark.parametrize("path", SOURCES, ids=name_of)
def test_functions_are_small(path: Path) -> None:
    """A function has at most 60 lines and 6 positional parameters, and imports nothing."""
    for node in functions(path):
        assert node.end_lineno is not None
        assert node.end_lineno - node.lineno + 1 <= 60, node.name
        own = [one.arg for one in node.args.args if one.arg not in ("self", "cls")]
        assert len(own) <= 6, node.name
        inner = [one for one in ast.walk(node) if isinstance(one, ast.Import | ast.ImportFrom)]
        assert not inner, node.name


@pytest.mark.parametrize("path", SOURCES, ids=name_of)
def test_names_say_something(path: Path) -> None:
    """Words that fit everything name nothing."""
    tree = ast.parse(path.read_text(encoding="utf-8"))
    names = {path.stem}
    for node in ast.walk(tree):
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef | ast.ClassDef):
            names.add(node.name)
        elif isinstance(node, ast.Name) and isinstance(node.ctx, ast.Store):
            names.add(node.id)
    words = {word for name in names for word in re.findall("[a-z]+", name.lower())}
    assert words & BANNED <= ALLOWED.get(path.name, set())


@pytest.mark.parametrize("path", SOURCES, ids=name_of)
def test_a_broad_except_stands_at_an_edge(path: Path) -> None:
    """Faults are caught by name, but at the edges that are listed here."""
    place = path.relative_to(ROOT / "src" / "batchyard").as_posix()
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        if isinstance(node, ast.ExceptHandler):
            broad = node.type is None or getattr(node.type, "id", "") == "Exception"
            assert not broad or place in BROAD, node.lineno


@pytest.mark.parametrize("path", SOURCES, ids=name_of)
def test_public_names_are_declared(path: Path) -> None:
    """`__all__` names what is public, and only what is there."""
    tree = ast.parse(path.read_text(encoding="utf-8"))
    defined = {
        node.name
        for node in tree.body
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef | ast.ClassDef)
    }
    public = {name for name in defined if not name.startswith("_")}
    declared: set[str] = set()
    for node in tree.body:
        if isinstance(node, ast.Assign) and getattr(node.targets[0], "id", "") == "__all__":
            declared = set(ast.literal_eval(node.value))
    assert declared & defined <= public
    assert bool(public) <= bool(declared)


@pytest.mark.parametrize("path", TESTS, ids=name_of)
def test_tests_do_not_sleep(path: Path) -> None:
    """A test awaits the event; it does not guess how long something takes."""
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        if isinstance(node, ast.Call):
            called = ast.unparse(node.func)
            assert called != "time.sleep", node.lineno
            # In stories time is virtual: there a sleep is the event.
            if called == "asyncio.sleep" and "stories" not in path.parts:
                assert ast.unparse(node.args[0]) == "0", node.lineno


@pytest.mark.parametrize("path", TESTS, ids=name_of)
def test_tests_say_what_they_promise(path: Path) -> None:
    """Each test has a docstring: the promise it holds us to."""
    for node in functions(path):
        if node.name.startswith("test_"):
            assert ast.get_docstring(node), node.name


def test_the_newest_migration_is_the_one_the_schema_was_written_for() -> None:
    """The version in the schema is that of the last migration."""
    versions = ROOT / "src/batchyard/places/store/migrations/versions"
    last = sorted(path.name for path in versions.glob("[0-9]*.py"))[-1]
    assert last.startswith(NEWEST)


def test_no_file_names_a_registry() -> None:
    """Where packages come from is the affair of whoever installs them."""
    tracked = subprocess.run(
        ["git", "ls-files"], cwd=ROOT, capture_output=True, text=True, check=False
    ).stdout.split()
    hosts = re.compile(r"(?:pypi|pythonhosted|npmjs|debian)\.(?:org|com)")
    for name in tracked:
        path = ROOT / name
        if path.is_file() and path.suffix in (".py", ".toml", ".txt", ".md", ".in", ""):
            assert not hosts.search(path.read_text(encoding="utf-8", errors="replace")), name


def functions(path: Path) -> Iterator[ast.FunctionDef | ast.AsyncFunctionDef]:
    """All functions of a module."""
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef):
            yield node
