"""Text completions."""

from batchyard.sim.answers.reading import CREATED, Reading, answer_json
from batchyard.sim.chance import mix
from batchyard.sim.texts import cut, input_tokens

__all__ = ["answer_completions"]

# What a completion is held to when it names no limit.
_TOKENS_MAX = 16


def answer_completions(reading: Reading) -> tuple[bytes, int]:
    """A `text_completion` with `n` choices for each prompt."""
    prompt = reading.fields["prompt"]
    is_several = isinstance(prompt, list) and any(isinstance(one, str | list) for one in prompt)
    tokens_max = reading.tokens_max("max_tokens") or _TOKENS_MAX
    choices, written = [], 0
    for index in range(reading.choices() * (len(prompt) if is_several else 1)):
        text, tokens, is_whole = cut(reading.texts.answer(mix(index, reading.number)), tokens_max)
        written += tokens
        choices.append(
            {
                "text": text,
                "index": index,
                "logprobs": None,
                "finish_reason": "stop" if is_whole else "length",
            }
        )
    read = input_tokens(prompt)
    answer = {
        "id": f"cmpl-{reading.number:016x}",
        "object": "text_completion",
        "created": CREATED,
        "model": reading.fields["model"],
        "choices": choices,
        "usage": {
            "prompt_tokens": read,
            "completion_tokens": written,
            "total_tokens": read + written,
            "prompt_tokens_details": {"cached_tokens": 0},
            "completion_tokens_details": {"reasoning_tokens": 0},
        },
        "system_fingerprint": "simulated",
    }
    return answer_json(answer), written
