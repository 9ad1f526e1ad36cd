"""Lines that are read many at once, beside the exact examination of each."""

import json
from random import Random

import msgspec
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from batchyard.rules.alike import Alike
from batchyard.rules.endpoints import ENDPOINTS
from batchyard.rules.kinds import Kind, Kinds, Run
from batchyard.rules.limits import RELAXED
from batchyard.rules.lines import Sound, examine
from batchyard.rules.validate import Scan
from batchyard.wire.objects import BatchError
from tests.rules.test_glance import body, is_utf8, mutated, value

CHAT = "/v1/chat/completions"
KINDS: Kinds = {url: {} for url in ENDPOINTS}
for one in [Kind(url, model) for url in ENDPOINTS for model in ("m", "n", "x")]:
    KINDS[one.url][one.model] = one
EYE = Alike(RELAXED, KINDS)
# Spaces after the brace, around colons and around commas.
STYLES = [("", ":", ","), ("", ": ", ", "), ("", ":", ", "), (" ", " : ", " , ")]
ODD_IDS = [f'"{one}"' for one in ["\u00fc", "a\u0085", "\u2028", "x" * 1_024, "\u00fc" * 513]]
SOUND_BODY = '{"model":"m","messages":[],"input":["x","y"],"prompt":""}'


def line(custom_id: str, url: str, text: str, style: tuple[str, str, str]) -> str:
    """A request as nearly all programs lay it out."""
    first, colon, comma = style
    values = {"custom_id": custom_id, "method": '"POST"', "url": f'"{url}"', "body": text}
    return "{" + first + comma.join(f'"{name}"{colon}{one}' for name, one in values.items()) + "}"


def suspect(chance: Random, url: str, style: tuple[str, str, str]) -> bytes:
    """A line in the layout of the others, or nearly so."""
    known = json.dumps(f"r{chance.randrange(10**6)}")
    custom_id = chance.choice([known] * 12 + ODD_IDS + [value(chance)])
    text = chance.choice([SOUND_BODY, body(chance, url)])
    made = line(custom_id, url, text, chance.choice([style] * 9 + STYLES))
    if chance.random() < 0.4:
        around = line('"s"', url, text, style)
        part = chance.choice(
            [
                *(',"custom_id":"s"', ',"method":"POST"', f',"url":"{url}"', f',"body":{text}'),
                *(
                    '"custom_id":"s",',
                    '"x":1,',
                    ',"x":{"":0}',
                    ',"x":{}',
                    ',"model":"m"',
                    r',"mod\u0065l":"m"',
                    "}",
                    "{",
                ),
                *("}}", '","', '"', "\\", r"\"", " ", "\t", "\n", "\r", "\u00e9", ',"stream":true'),
                *(around[4:60], around[14 : around.index("{", 1) + 1], around),
            ]
        )
        place = chance.choice([chance.randrange(len(made)), 14, 15, made.index("{", 1), -1, -2])
        made = made[:place] + part + made[place:]
    raw = made.encode(errors="replace")
    return mutated(chance, raw) if chance.random() < 0.4 else raw


def sound_line(custom_id: str, url: str) -> Sound | BatchError:
    """What the exact examination says of a line with the sound body."""
    return Sound(custom_id, url, "m", len(SOUND_BODY), 2 if url == "/v1/embeddings" else 0)


def read(lines: list[bytes]) -> tuple[Run | None, dict[tuple[str, str], int]]:
    """What is read at once, and the kinds that were counted."""
    kinds = [kind for known in KINDS.values() for kind in known.values()]
    before = [kind.lines for kind in kinds]
    run = EYE.read(lines)
    grown = zip(kinds, before, strict=True)
    return run, {(one.url, one.model): one.lines - n for one, n in grown if one.lines > n}


@pytest.mark.parametrize("seed", range(4))
def test_what_is_read_at_once_the_exact_examination_takes(seed: int) -> None:
    """Of lines that are read at once, each is sound, and all that is told of them is so."""
    chance = Random(seed)
    taken = sound = 0
    for _ in range(2_500):
        url = chance.choice([CHAT, CHAT, "/v1/responses", "/v1/embeddings", "/chat/completions"])
        style, end = chance.choice(STYLES), chance.choice([b"\n", b"\n", b"\r\n"])
        lines = [line(f'"s{n}"', url, SOUND_BODY, style).encode() + end for n in range(9)]
        odd = suspect(chance, url, style) + chance.choice([end] * 9 + [b"\n", b"", b" \n"])
        if not is_utf8(odd) or odd.count(b"\n") > 1:
            continue
        found = [sound_line(f"s{n}", url) for n in range(9)]
        place = chance.randrange(9)
        lines[place], found[place] = odd, examine(odd.removesuffix(b"\n"), 1, RELAXED)
        exact = [one for one in found if isinstance(one, Sound)]
        run, counted = read(lines)
        sound += len(exact) == len(lines)
        taken += run is not None
        if run is None:
            assert counted == {}
            continue
        assert len(exact) == len(lines), odd
        assert run.custom_ids == [one.custom_id for one in exact]
        assert (run.size_bytes, run.odd) == (sum(map(len, lines)), b"")
        assert run.bodies_bytes == sum(one.body_bytes for one in exact), odd
        assert run.inputs == sum(one.inputs for one in exact)
        kinds = [(one.url, one.model) for one in exact]
        assert counted == {kind: kinds.count(kind) for kind in kinds}
    assert 0 < 0.5 * sound < taken


PARTS = [
    *('"custom_id":"r1"', ',"body":{"model":"m","messages":[]}', ',"model":"n"', '"model":"m",'),
    *('"', "\\", "{", "}", "[", "]", ",", ":", "\n", "\r\n", "\n\n", " ", "\x00", "\ufeff", "NaN"),
    *("\u00fc", "\u0085", r"\ud800", r"\u0041", "[" * 127 + "]" * 127, "x" * 2_000, "9" * 400),
]
EDITS = st.lists(
    st.tuples(
        st.integers(0, 60 * 130), st.integers(0, 9), st.sampled_from([*PARTS, ""]) | st.text()
    ),
    max_size=5,
)
SHORT = msgspec.structs.replace(RELAXED, line_bytes_max=1_500)


@settings(max_examples=200, deadline=None)
@given(EDITS, st.sampled_from(STYLES), st.sampled_from([CHAT, "/v1/moderations"]))
def test_a_file_of_lines_alike_is_told_what_each_line_is(
    edits: list[tuple[int, int, str]], style: tuple[str, str, str], url: str
) -> None:
    """However a file of lines alike was changed, the scan says of each what its examination does.

    Cut or whole makes no difference.
    """
    text = "\n".join(line(f'"r{n}"', url, SOUND_BODY, style) for n in range(60))
    for place, cut, part in edits:
        text = text[:place] + part + text[place + cut :]
    raw = text.encode(errors="surrogatepass")
    whole, parts = Scan(SHORT), Scan(SHORT)
    whole.feed(raw)
    for start in range(0, len(raw), 997):
        parts.feed(raw[start : start + 997])
    digest = whole.finish()
    assert parts.finish() == digest
    lines = enumerate(raw.removeprefix(b"\xef\xbb\xbf").split(b"\n"), 1)
    exact = [
        examine(one, n, SHORT) for n, one in lines if one.strip(b" \t\r\v\f") and len(one) <= 1_500
    ]
    errors = [one for one in exact if not isinstance(one, Sound)]
    sound = [one for one in exact if isinstance(one, Sound)]
    assert [one for one in digest.errors if "longer" not in one.message] == errors
    assert digest.input_tokens == sum(one.body_bytes for one in sound) // 4
    models = [one.model for one in sound]
    assert digest.models == {model: models.count(model) for model in models}
    ids = [one.custom_id for one in sound]
    assert digest.suspects == (len(set(ids)) < len(ids))


@pytest.mark.parametrize("flat", [0, 3, 60])
@pytest.mark.parametrize("place", [0, 5, 39])
def test_each_line_is_as_shallow_as_is_allowed(flat: int, place: int) -> None:
    """Lines are looked at together; many brackets side by side pass, a deep line among them not."""

    def nested(number: int, deep: int) -> bytes:
        beside = ",".join(["[]"] * flat)
        text = f'{{"model":"m","x":[{beside}],"messages":{"[" * deep}{"]" * deep}}}'
        return line(f'"r{number}"', CHAT, text, STYLES[0]).encode() + b"\n"

    for deep, taken in ((RELAXED.nesting_max - 2, True), (RELAXED.nesting_max - 1, False)):
        lines = [nested(number, deep if number == place else 1) for number in range(40)]
        run, _ = read(lines)
        assert (run is not None) == taken
