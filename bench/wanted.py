"""What files are built of; the bench itself never loads it, for it is heavy."""

from pydantic import BaseModel

__all__ = ["FILLER", "Verdict"]

# Makes a line of about 1 KB of whatever is asked.
FILLER = "Tell me about it. " * 45


class Verdict(BaseModel):
    """What is asked for where the answer has a type."""

    label: str
    score: float
