"""How many input tokens a batch asks for, as far as that can be told without its tokenizer.

The bodies of a file count a token for every four bytes (`Digest.input_tokens`), which is right to
within a third for English text and most code, too low for other scripts and too high for
base64. It costs nothing, and it is the same for every upstream.
"""

from collections.abc import Mapping

__all__ = ["tokens_by_model"]


def tokens_by_model(total: int, weights: Mapping[str, int]) -> dict[str, int]:
    """Share a file's tokens out among its models by the bytes of their lines; none is lost."""
    whole = sum(weights.values())
    if not whole:
        return dict.fromkeys(weights, 0)
    shares = {model: total * weight // whole for model, weight in weights.items()}
    left = total - sum(shares.values())
    for model in sorted(weights, key=lambda one: -(total * weights[one] % whole))[:left]:
        shares[model] += 1
    return shares
