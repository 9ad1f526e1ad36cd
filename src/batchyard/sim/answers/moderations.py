"""Moderations: scores by chance, of which one in ten is a flag."""

from typing import Any

from batchyard.sim.answers.reading import Reading, answer_json

__all__ = ["answer_moderations"]

_CATEGORIES = (
    "harassment",
    "harassment/threatening",
    "hate",
    "hate/threatening",
    "illicit",
    "illicit/violent",
    "self-harm",
    "self-harm/instructions",
    "self-harm/intent",
    "sexual",
    "sexual/minors",
    "violence",
    "violence/graphic",
)
_FLAGGED_SHARE = 0.1


def answer_moderations(reading: Reading) -> tuple[bytes, int]:
    """One result per text; parts of a message are judged together."""
    given = reading.fields["input"]
    is_several = isinstance(given, list) and all(isinstance(one, str) for one in given)
    count = len(given) if is_several else 1
    answer = {
        "id": f"modr-{reading.number:016x}",
        "model": reading.text("model", "sim-moderation"),
        "results": [_judge(reading, index) for index in range(count)],
    }
    return answer_json(answer), 0


def _judge(reading: Reading, index: int) -> dict[str, Any]:
    chance = reading.chance(index)
    scores = {name: chance.uniform(0.0, 0.05) for name in _CATEGORIES}
    if chance.random() < _FLAGGED_SHARE:
        scores[chance.choice(_CATEGORIES)] = chance.uniform(0.6, 1.0)
    verdicts = {name: score > 0.5 for name, score in scores.items()}
    return {
        "flagged": any(verdicts.values()),
        "categories": verdicts,
        "category_scores": scores,
        "category_applied_input_types": {name: ["text"] for name in _CATEGORIES},
    }
