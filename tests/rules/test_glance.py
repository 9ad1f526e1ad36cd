"""The quick reading beside the exact one, over lines that are almost sound."""

import json
from random import Random

import pytest

from batchyard.rules.endpoints import ENDPOINTS
from batchyard.rules.glance import Glance
from batchyard.rules.kinds import Kind
from batchyard.rules.limits import RELAXED
from batchyard.rules.lines import Sound, examine

BODY_KEYS = ["messages", "input", "prompt", "model", "stream", "custom_id", "body", "x", ""]
ODD_FIELDS = [
    *('"body":{}', '"body":1', '"url":""', '"url":"/v1/responses"', '"method":"POST"'),
    *('"custom_id":"b"', '"x":1', '"x": {"x":1}', '"":0,"":0', r'"u\u0072l":"/v1/x"'),
]
STRINGS = [
    *('"x"', '""', r'"\"model\":"', r'"a \"stream\" b"', '"\u00e9"', '"\u2028"', '"{[{["'),
    *(r'"\ud83d\ude00"', r'"\ud800"', r'"\u0000"', r'"\\"', r'"\x"', '"\t"', '"a"b"'),
]
NUMBERS = ["1", "-0", "1.5e3", "1e999", "9" * 400, "true", "false", "null", "NaN", "01", "1.", "-"]
BYTES = b'\x00\x01\x09\r "\\\xff\xc3\xed{}[]:,09aue'


def value(chance: Random, level: int = 0) -> str:
    """A JSON value, or nearly one, that may nest up to and beyond the limit."""
    kind = chance.randrange(10)
    if kind < 4:
        return chance.choice(STRINGS)
    if kind < 6:
        return chance.choice(NUMBERS)
    if kind == 6:
        deep = chance.choice([1, 3, 63, 64, 65, 124, 125, 126, 127, 128, 200])
        start, end = chance.choice([("[", "]"), ('{"a":', "}"), ("[{}, ", "]"), ("[[],", "]")])
        return start * deep + "1" + end * deep
    if level > 2 or kind == 7:
        return "[" + ", ".join(chance.choice(STRINGS) for _ in range(chance.randrange(3))) + "]"
    return obj(
        [
            f'"{chance.choice(BODY_KEYS)}":{value(chance, level + 1)}'
            for _ in range(chance.randrange(4))
        ]
    )


def obj(fields: list[str], between: str = ",") -> str:
    """A JSON object of fields in their spelling."""
    return "{" + between.join(fields) + "}"


def body(chance: Random, url: str) -> str:
    """A body that mostly has what its endpoint requires."""
    fields = ['"model":' + chance.choice(['"m"'] * 6 + ['"n"', '""', "5", "null", '["m"]'])]
    fields += [
        f'"{name}":' + chance.choice(["[]", '[{"role": "user"}]', '"Hi"', value(chance)])
        for name in getattr(ENDPOINTS.get(url), "required", ("messages",))
        if name != "model"
    ]
    for _ in range(chance.choice([0, 0, 1, 2])):
        name = chance.choice([*BODY_KEYS, r"mod\u0065l", r"str\u0065am"])
        fields.append(
            f'"{name}": ' + chance.choice([value(chance), "null", "false", "true", '"m"'])
        )
    if chance.random() < 0.3:
        chance.shuffle(fields)
    if chance.random() < 0.1:
        fields.pop()
    return obj(fields, chance.choice([",", ", "]))


def request(chance: Random) -> bytes:
    """A request line with few faults or none."""
    colon, between = chance.choice([(":", ","), (": ", ", "), (" :  ", ",")])
    url = chance.choice([*ENDPOINTS, "/v1/chat/completions", "/v1/chat/completions", "/v1/x"])
    known = json.dumps(f"r{chance.randrange(10**9)}")
    fields = [
        f'"custom_id"{colon}' + chance.choice([known] * 9 + [*STRINGS, "1", f'"{"x" * 300}"']),
        f'"method"{colon}' + chance.choice(['"POST"'] * 12 + ['"GET"', r'"\u0050OST"', "null"]),
        f'"url"{colon}"{url}"',
        f'"body"{colon}{body(chance, url)}',
    ]
    if chance.random() < 0.2:
        fields.append(chance.choice(ODD_FIELDS))
    if chance.random() < 0.2:
        chance.shuffle(fields)
    return (obj(fields, between) + chance.choice(["", "", "\r", " "])).encode()


def mutated(chance: Random, line: bytes) -> bytes:
    """The line with a byte changed, or with a part of it cut out or repeated."""
    start = chance.randrange(len(line))
    stop = min(len(line), start + chance.choice([0, 1, 1, 2, 9, 40]))
    other = chance.choice([b"", bytes([chance.choice(BYTES)]), line[start:stop] * 2])
    return line[:start] + other + line[stop:]


KINDS = [Kind(url, model) for url in ENDPOINTS for model in ("m", "n", "x", "")]
EYE = Glance(RELAXED)
for one in KINDS:
    EYE.welcome(one)


def glance(line: bytes) -> Sound | None:
    """A line as a glance sees it, if that is enough; all that it may be was welcomed."""
    before = [kind.lines for kind in KINDS]
    run = EYE.read([line])
    counted = [kind for kind, lines in zip(KINDS, before, strict=True) if kind.lines > lines]
    if not run.custom_ids:
        assert (run.odd, counted) == (line, [])
        return None
    assert run.odd == b""
    [kind], [custom_id] = counted, run.custom_ids
    return Sound(custom_id, kind.url, kind.model, run.bodies_bytes, run.inputs)


@pytest.mark.parametrize("seed", range(4))
def test_what_a_glance_takes_the_exact_examination_takes(seed: int) -> None:
    """A glance may pass a line on, but never sees in it what the exact examination does not."""
    chance = Random(seed)
    sound = taken = 0
    for number in range(3_000):
        line = request(chance)
        for text in (line, mutated(chance, line), mutated(chance, mutated(chance, line))):
            if not is_utf8(text):
                continue
            exact = examine(text, number, RELAXED)
            for ended in (text, text + b"\n"):
                found = glance(ended)
                assert found is None or found == exact, text
            sound += isinstance(exact, Sound)
            taken += found is not None
    assert 0 < 0.8 * sound < taken


def is_utf8(text: bytes) -> bool:
    """Whether the bytes are UTF-8, as `Scan` sees to it before a glance."""
    return text.decode(errors="ignore").encode() == text


@pytest.mark.parametrize("field", ODD_FIELDS)
@pytest.mark.parametrize("end", [b"", b"\n"])
def test_no_field_is_short_enough_to_stand_twice_unseen(field: str, end: bytes) -> None:
    """Where nothing else takes room, the shortest second field is seen."""
    fields = ['"custom_id":"a"', '"method":"POST"', '"url":"/v1/moderations"', '"body":{"input":1}']
    for place in range(5):
        line = obj([*fields[:place], field, *fields[place:]]).encode() + end
        found = glance(line)
        assert (found is not None) == isinstance(examine(line, 1, RELAXED), Sound), line


@pytest.mark.parametrize(
    "line",
    [
        b'{"custom_id":"a","method":"POST","url":"/v1/embeddings","body":{"model":"m","input":[]}}',
        b'{"body":{"input":"x"},"x":[{"y":1}],"url":"/v1/moderations","method":"POST",'
        b'"custom_id": "\xc3\xa9"}\r\n',
        b'{"custom_id":"a","method":"POST","url":"/v1/responses","body":{"model":"m","tools":['
        + b",".join([b'{"a":[{}]}'] * 100)
        + b"]}}",
    ],
)
def test_a_glance_is_enough_for_ordinary_lines(line: bytes) -> None:
    """Order, spaces, further fields and many tools do not call for the exact examination."""
    assert glance(line) == examine(line, 1, RELAXED)
