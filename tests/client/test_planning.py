"""How files are cut, and in which order the chunks are sent."""

from random import Random

import pytest

from batchyard.client.apis.targets import TARGETS
from batchyard.client.examining.checking import check
from batchyard.client.examining.planning import Bounds, Chunk, Misfit, bounds_of, plan, waves
from batchyard.client.examining.reading import lines_of
from tests.client.lines import CHAT, EMBEDDINGS, chunked, line


def cut(text: str, bounds: Bounds) -> dict[int, tuple[Chunk, list[bytes]]]:
    """The chunks with their lines."""
    found: dict[int, tuple[Chunk, list[bytes]]] = {}
    for chunk, one in plan(lines_of(chunked(text)()), bounds):
        found.setdefault(chunk.number, (chunk, []))[1].append(one)
    return found


def test_a_file_that_fits_is_one_chunk() -> None:
    """Nothing is cut that need not be; lines keep their bytes and their order."""
    text = line("a") + "\r\n" + line("b")
    ((chunk, lines),) = cut(text, bounds_of(TARGETS["openai"])).values()
    assert lines == [line("a").strip().encode(), line("b").strip().encode()]
    assert (chunk.requests, chunk.first_line, chunk.last_line) == (2, 1, 3)
    assert chunk.bytes == sum(len(one) + 1 for one in lines)


@pytest.mark.parametrize("seed", range(20))
def test_every_chunk_keeps_every_bound(seed: int) -> None:
    """Whatever the lines, no chunk is empty or too large, and no line is lost or told twice."""
    chance = Random(seed)
    texts = []
    for number in range(300):
        if chance.random() < 0.3:
            inputs = ["x" * chance.randrange(30)] * chance.randrange(1, 6)
            texts.append(line(f"{number}", EMBEDDINGS, input=inputs, model="e"))
        else:
            model = chance.choice(["m1", "m2"])
            texts.append(line(f"{number}", model=model, user="u" * chance.randrange(200)))
    bounds = Bounds(requests=17, bytes=3_000, embedding_inputs=11, tokens=400)
    chunks = cut("".join(texts), bounds)
    for chunk, lines in chunks.values():
        assert 0 < len(lines) == chunk.requests <= bounds.requests
        assert sum(len(one) + 1 for one in lines) == chunk.bytes <= bounds.bytes
        assert chunk.embedding_inputs <= bounds.embedding_inputs
        assert chunk.tokens <= bounds.tokens
        report = check(chunked("".join(one.decode() + "\n" for one in lines)), TARGETS["openai"])
        assert report.errors == ()
        assert (report.embedding_inputs, report.input_tokens) == (
            chunk.embedding_inputs,
            chunk.tokens,
        )
    told = [one.decode() + "\n" for _, lines in chunks.values() for one in lines]
    assert sorted(texts) == sorted(told)


def test_the_first_line_may_fill_a_chunk() -> None:
    """A first line that leaves no room for a second makes a chunk of one, never an empty one."""
    text = line("a", user="u" * 500) + line("b")
    assert [chunk.requests for chunk, _ in cut(text, Bounds(bytes=700)).values()] == [1, 1]


def test_a_line_too_large_for_any_chunk_is_refused() -> None:
    """It says which line, how large it is and what is allowed."""
    with pytest.raises(Misfit, match="line 2 has 9 embedding inputs; a chunk may have at most 5"):
        cut(
            line("a", EMBEDDINGS) + line("b", EMBEDDINGS, input=["x"] * 9),
            Bounds(embedding_inputs=5),
        )
    with pytest.raises(Misfit, match="line 1 cannot be read"):
        cut("oops\n", Bounds())


def test_mixed_models_stay_together_where_they_may() -> None:
    """A target that takes several models in a batch gets one file."""
    text = line("a", model="m1") + line("b", model="m2")
    assert len(cut(text, bounds_of(TARGETS["batchyard"]))) == 1
    assert [chunk.model for chunk, _ in cut(text, bounds_of(TARGETS["openai"])).values()] == [
        "m1",
        "m2",
    ]


def test_waves_fit_the_queue_of_each_model() -> None:
    """Chunks go together while their model has room; another model has a queue of its own."""
    chunks = [
        Chunk(number=number, endpoint=CHAT, model=model, body_bytes=4 * tokens)
        for number, (model, tokens) in enumerate(
            [("a", 60), ("a", 60), ("b", 100), ("a", 40), ("a", 100)], 1
        )
    ]
    assert waves(chunks, 100) == [[1, 3, 4], [2], [5]]
    assert waves(chunks, None) == [[1, 2, 3, 4, 5]]
