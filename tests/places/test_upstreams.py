"""What upstreams are taken to serve, from all that they may say or fail to say."""

import asyncio
import json
from collections.abc import AsyncIterator, Callable, Sequence
from contextlib import aclosing, asynccontextmanager
from pathlib import Path

import pytest

from batchyard.places.database import Inline
from batchyard.places.store import ServedModels, open_store
from batchyard.places.upstream_settings import UpstreamSettings
from batchyard.places.upstreams import Served, Upstream, Upstreams
from tests.places.test_transport_tls import CERTIFICATES, presenting
from tests.places.upstream_server import UpstreamServer, Visit, upstream

# What a path is answered with: a status, a body, and further headers.
Answers = dict[str, tuple[int, bytes, str]]


def listing(*names: str, status: int = 200, headers: str = "") -> tuple[int, bytes, str]:
    """A list of models."""
    return status, json.dumps({"data": [{"id": name} for name in names]}).encode(), headers


NOT_FOUND = (404, b'{"detail":"Not Found"}', "")
PAGE = (200, b"<html>Sign in</html>", "content-type: text/html\r\n")


class Site:
    """A server whose answers a test changes while it runs; `asked` are the paths, in order."""

    def __init__(self, answers: Answers) -> None:
        self.answers = answers
        self.asked: list[str] = []

    async def play(self, visit: Visit) -> None:
        while True:
            head = await visit.request()
            path = head.split()[1].decode()
            self.asked.append(path)
            status, body, headers = self.answers.get(path, NOT_FOUND)
            told = f"HTTP/1.1 {status} X\r\n{headers}content-length: {len(body)}\r\n\r\n"
            await visit.say(told.encode() + body)

    @asynccontextmanager
    async def served(self) -> AsyncIterator[UpstreamServer]:
        async with upstream(self.play) as server:
            yield server


def settings(server: UpstreamServer, path: str = "/v1", **more: object) -> UpstreamSettings:
    """Settings that lead to a path of this server."""
    url = f"http://127.0.0.1:{server.port}{path}"
    return UpstreamSettings(url=url, **more)  # type: ignore[arg-type]


async def looked_at(upstream_settings: UpstreamSettings, key: str | None = None) -> Upstream:
    """An upstream after it was asked once."""
    one = Upstream(upstream_settings, key)
    await one.look()
    await one.transport.aclose()
    return one


@pytest.mark.parametrize(
    ("answer", "state", "serves_a", "serves_b"),
    [
        (listing("a"), "ok", True, False),
        (listing(), "ok", True, True),
        (NOT_FOUND, "ok", True, True),
        ((405, b"", ""), "ok", True, True),
        ((501, b"", ""), "ok", True, True),
        ((200, b'{"data":[{"id":"a"}],"any_model":true}', ""), "ok", True, True),
        ((401, b"no", ""), "key_refused", False, False),
        ((403, b"no", ""), "key_refused", False, False),
        ((402, b"no", ""), "unreachable", False, False),
        ((408, b"", ""), "unreachable", False, False),
        ((429, b"", ""), "unreachable", False, False),
        ((500, b"", ""), "unreachable", False, False),
        ((503, b'{"error":{"message":"Loading model"}}', ""), "unreachable", False, False),
        ((308, b"", "location: https://elsewhere.example/v1/models\r\n"), "unreachable", 0, 0),
        (PAGE, "unreachable", False, False),
        ((200, b'{"data":"?"}', ""), "unreachable", False, False),
        ((200, b"\xff\x00", ""), "unreachable", False, False),
    ],
)
async def test_only_no_list_means_any_model(
    answer: tuple[int, bytes, str], state: str, serves_a: bool, serves_b: bool
) -> None:
    """Whoever cannot tell at the moment is not taken for one that serves everything."""
    async with Site({"/v1/models": answer}).served() as server:
        one = await looked_at(settings(server))
    assert one.state == state
    assert (one.serves("a"), one.serves("b")) == (serves_a, serves_b)
    assert one.reachable == (state == "ok")
    assert bool(one.detail) == (state != "ok")


@pytest.mark.parametrize("then", [(503, b"", ""), (401, b"", ""), (429, b"", ""), PAGE])
async def test_a_list_is_kept_while_there_is_no_other(then: tuple[int, bytes, str]) -> None:
    """A server that reloads serves afterwards what it served before, as far as anybody knows."""
    site = Site({"/v1/models": listing("a")})
    async with site.served() as server:
        one = Upstream(settings(server), None)
        await one.look()
        site.answers["/v1/models"] = then
        await one.look()
        assert (one.serves("a"), one.serves("b"), one.reachable) == (True, False, False)
        site.answers["/v1/models"] = listing("b")
        await one.look()
        assert (one.serves("a"), one.serves("b"), one.reachable) == (False, True, True)
        await one.transport.aclose()


@pytest.mark.parametrize(
    ("path", "answers", "taken"),
    [
        ("", {"/v1/models": listing("a")}, "/v1"),
        ("/", {"/v1/models": listing("a"), "/models": PAGE}, "/v1"),
        ("/llm", {"/llm/v1/models": listing("a")}, "/llm/v1"),
        ("/v1/chat/completions", {"/v1/models": listing("a")}, "/v1"),
        ("/chat/completions", {"/v1/models": listing("a")}, "/v1"),
        ("/v1/models", {"/v1/models": listing("a")}, "/v1"),
        ("/v1/embeddings/", {"/v1/models": listing("a")}, "/v1"),
        # What answers is not mended.
        ("", {"/models": listing("a"), "/v1/models": listing("b")}, ""),
        ("", {}, ""),
        ("/v1", {"/v1/v1/models": listing("a"), "/models": listing("a")}, "/v1"),
        ("/v1beta/openai", {"/v1beta/openai/v1/models": listing("a")}, "/v1beta/openai"),
        ("", {"/models": (503, b"", ""), "/v1/models": listing("a")}, ""),
    ],
)
async def test_a_base_url_that_is_none_is_mended(path: str, answers: Answers, taken: str) -> None:
    """Where the one that was meant answers with a list, and the one that was written has none."""
    async with Site(answers).served() as server:
        one = await looked_at(settings(server, path))
    assert one.effective_url == f"http://127.0.0.1:{server.port}{taken}"
    assert one.head("/chat/completions").startswith(f"POST {taken}/chat/completions ".encode())


@pytest.mark.parametrize(
    ("answer", "state"), [((401, b"", ""), "key_refused"), ((503, b"", ""), "unreachable")]
)
async def test_a_base_url_is_not_used_while_another_may_be_meant(
    answer: tuple[int, bytes, str], state: str
) -> None:
    """A server without a list takes any model, but not one whose list stands elsewhere."""
    site = Site({"/v1/models": answer})
    async with site.served() as server:
        one = Upstream(settings(server, ""), None)
        await one.look()
        assert (one.state, one.is_known) == (state, False)
        site.answers["/v1/models"] = listing("a")
        await one.look()
        assert (one.state, one.effective_url) == ("ok", f"{one.url}/v1")
        await one.transport.aclose()


async def test_a_server_of_ours_is_no_upstream() -> None:
    """It is known by its headers, whether it takes the key or not, and no line goes there."""
    for status, header in ((401, "server: batchyard"), (200, "openai-organization: org-batchyard")):
        site = Site({"/v1/models": listing("a", status=status, headers=f"{header}\r\n")})
        async with site.served() as server:
            one = await looked_at(settings(server))
        assert (one.is_batchyard, one.state, one.is_known) == (True, "unreachable", False)


async def test_the_simulator_is_an_upstream() -> None:
    """Though it calls itself after the server."""
    header = "server: batchyard-sim (simulated)\r\n"
    async with Site({"/v1/models": listing("a", headers=header)}).served() as server:
        one = await looked_at(settings(server))
    assert (one.is_batchyard, one.state, one.is_known) == (False, "ok", True)


async def test_what_an_upstream_says_is_told_without_the_key() -> None:
    """Some repeat the key that they refuse, and others write to the terminal."""
    body = b"Bad key sk-secret-1\x1b[31m of \x00 you " + b"x" * 5_000
    async with Site({"/v1/models": (401, body, "")}).served() as server:
        one = await looked_at(settings(server, api_key_env="A_KEY"), "sk-secret-1")
    assert one.state == "key_refused"
    assert one.key_setting == "api_key_env A_KEY"
    assert one.detail.startswith("HTTP 401: Bad key *** [31m of   you xxx")
    assert len(one.detail) < 200


@pytest.mark.parametrize(("trusted", "state"), [("authority.pem", "ok"), (None, "unreachable")])
async def test_certificates_of_a_private_authority_are_trusted(
    trusted: str | None, state: str
) -> None:
    """Of the upstream whose settings name them, and of no other."""
    site = Site({"/v1/models": listing("a")})
    async with upstream(site.play, tls=presenting("localhost")) as server:
        url = f"https://localhost:{server.port}/v1"
        ca_file = str(CERTIFICATES / trusted) if trusted else None
        one = await looked_at(UpstreamSettings(url=url, ca_file=ca_file))
    assert one.state == state
    assert ("certificate" in one.detail) == (trusted is None)


async def test_a_server_tells_how_much_it_does_at_once() -> None:
    """llama.cpp has that at its root and not below /v1; it is asked once for each return."""
    props = (200, b'{"total_slots":4}', "")
    site = Site({"/v1/models": listing("a"), "/props": props})
    async with site.served() as server:
        one = Upstream(settings(server), None)
        await one.look()
        await one.look()
        assert (one.slots, site.asked.count("/props")) == (4, 1)
        site.answers["/v1/models"] = (503, b"", "")
        await one.look()
        site.answers |= {"/v1/models": listing("a"), "/props": (200, b'{"total_slots":"x"}', "")}
        await one.look()
        assert (one.slots, site.asked.count("/props")) == (None, 2)
        await one.transport.aclose()


class Known(Upstream):
    """An upstream that says what a test wants it to, without a wire."""

    def __init__(self, name: str, state: str, *models: str, known: bool = True) -> None:
        super().__init__(UpstreamSettings(url="http://127.0.0.1:9/v1", name=name), None)
        if known:
            self.recall(Served(name, self.url, models, any_model="*" in models))
        self.says = state

    async def look(self) -> None:
        self.state = self.says  # type: ignore[assignment]


# The upstreams; what becomes of models m, n and z: where they go, or "no" for a refusal.
ROUTES: list[tuple[Sequence[Known], str, str, str]] = [
    ([Known("a", "ok", "m"), Known("b", "ok", "n")], "a", "b", "no"),
    ([Known("a", "ok", "m"), Known("b", "ok", "m", "n")], "ab", "b", "no"),
    ([Known("a", "unreachable", "m"), Known("b", "ok", "n")], "a", "b", "no"),
    ([Known("a", "unreachable", known=False), Known("b", "ok", "n")], "", "b", ""),
    ([Known("a", "key_refused", known=False), Known("b", "ok", "n")], "", "b", ""),
    ([Known("a", "unreachable", known=False), Known("b", "ok", "*")], "b", "b", "b"),
    ([Known("a", "unreachable", "m"), Known("b", "unreachable", "n")], "a", "b", ""),
    ([Known("a", "unreachable", known=False)], "a", "a", "a"),
    ([Known("a", "unknown", known=False), Known("b", "unknown", known=False)], "ab", "ab", "ab"),
    ([Known("a", "ok", "*")], "a", "a", "a"),
]


@pytest.mark.parametrize(("known", "m", "n", "z"), ROUTES)
async def test_lines_go_only_where_they_are_served(
    known: Sequence[Known], m: str, n: str, z: str
) -> None:
    """A model that may be that of an upstream which cannot be asked waits for it."""
    async with aclosing(Upstreams(known, lambda: 0.0)) as upstreams:
        await upstreams.look()
        for model, way in (("m", m), ("n", n), ("z", z)):
            assert upstreams.known(model) == (way != "no"), model
            assert "".join(upstreams.routes(model)) == way.replace("no", ""), model
            if not upstreams.routes(model):
                names, why = upstreams.lack_of(model)
                assert names
                assert why.startswith(("upstream_down: ", "upstream_refuses: ", "upstream_lacks"))


async def test_what_is_served_is_remembered(tmp_path: Path) -> None:
    """After a start with one upstream away, its lines wait for it, and go to no other."""
    store = open_store(f"sqlite:///{tmp_path / 'b.sqlite'}")
    memory = ServedModels(store, Inline(), lambda: 7.0)
    site = Site({"/v1/models": listing("a", "é")})
    async with site.served() as server:
        one = settings(server, name="one")
        async with aclosing(Upstreams([Upstream(one, None)], lambda: 0.0, memory=memory)) as before:
            await before.look()
    after = Upstreams([Upstream(one, None), Known("b", "ok", "b")], lambda: 0.0, memory=memory)
    async with aclosing(after):
        await after.look()
        assert not after["one"].reachable
        assert (after.routes("a"), after.routes("é"), after.routes("b")) == (
            ["one"],
            ["one"],
            ["b"],
        )
        assert not after.known("z")
    # Another server under the same name is another.
    moved = UpstreamSettings(url="http://127.0.0.1:9/v2", name="one")
    async with aclosing(Upstreams([Upstream(moved, None)], lambda: 0.0, memory=memory)) as other:
        assert not other["one"].is_known
    store.close()


async def test_a_memory_that_cannot_be_written_costs_nothing(tmp_path: Path) -> None:
    """The store may be full or away; what upstreams serve is known all the same."""
    store = open_store(f"sqlite:///{tmp_path / 'b.sqlite'}")
    with store.writing() as connection:
        connection.exec_driver_sql("DROP TABLE upstream_models")
    memory = ServedModels(store, Inline(), lambda: 0.0)
    await memory.keep([Served("a", "u", ("m",), any_model=False)])
    store.close()


async def test_upstreams_that_were_away_are_looked_after() -> None:
    """Whoever waits for one hears that it is there, and is asked no more then."""
    site = Site({"/v1/models": (503, b"", "")})
    async with site.served() as server:
        heard: asyncio.Queue[None] = asyncio.Queue()
        changed: Callable[[], object] = lambda: heard.put_nowait(None)  # noqa: E731
        upstreams = Upstreams([Upstream(settings(server), None)], lambda: 0.0)
        async with aclosing(upstreams):
            upstreams.watch(changed)
            await heard.get()
            assert upstreams.routes("a")
            site.answers["/v1/models"] = listing("b")
            await heard.get()
            assert (upstreams.routes("a"), len(upstreams.routes("b"))) == ([], 1)
            # A look of somebody else is heard of, too.
            site.answers["/v1/models"] = listing("a")
            upstreams.look_soon()
            await heard.get()
            assert len(upstreams.routes("a")) == 1


ALIASES = {"gpt-4o-mini": "qwen", "text-embedding-3-small": "e5", "*": "qwen"}


async def test_aliases_stand_for_what_is_served() -> None:
    """A name of another house is served by what it stands for, and listed; "*" is no name."""
    async with Site({"/v1/models": listing("qwen", "llama")}).served() as server:
        one = await looked_at(settings(server, aliases=ALIASES))
    served = [
        one.serves(name) for name in ("gpt-4o-mini", "text-embedding-3-small", "any", "llama")
    ]
    assert served == [True, False, True, True]
    sent = [one.sent_as(name) for name in ("gpt-4o-mini", "any", "llama", "qwen", "e5")]
    assert sent == ["qwen", "qwen", None, None, None]
    assert [each.id for each in one.models] == ["qwen", "llama", "gpt-4o-mini"]
