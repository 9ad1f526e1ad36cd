"""The errors the API answers with: OpenAI's envelope and, where there is one, OpenAI's text."""

from collections.abc import Mapping, Sequence

from batchyard.wire.objects import to_json

__all__ = ["ApiError"]


class ApiError(Exception):
    """An answer other than success: an HTTP status and the four keys of OpenAI's envelope."""

    def __init__(
        self,
        status: int,
        message: str,
        *,
        code: str | None = None,
        param: str | None = None,
        type: str = "invalid_request_error",
        headers: Mapping[str, str] | None = None,
    ) -> None:
        super().__init__(message)
        self.status = status
        self.message = message
        self.type = type
        self.param = param
        self.code = code
        self.headers = dict(headers or {})

    def body(self) -> bytes:
        """The envelope as JSON; all four keys are always there."""
        return to_json(
            {
                "error": {
                    "message": self.message,
                    "type": self.type,
                    "param": self.param,
                    "code": self.code,
                }
            }
        )

    @classmethod
    def no_such_file(cls, file_id: str) -> "ApiError":
        """Missing, deleted, expired, or somebody else's: one and the same answer."""
        return cls(404, f"No such File object: {file_id}", param="id")

    @classmethod
    def no_such_batch(cls, batch_id: str) -> "ApiError":
        """Missing or somebody else's: one and the same answer."""
        return cls(404, f"No batch found with id '{batch_id}'.")

    @classmethod
    def no_such_upload(cls, upload_id: str) -> "ApiError":
        """Missing or somebody else's: one and the same answer."""
        return cls(404, f"No such Upload object: {upload_id}", param="id")

    @classmethod
    def upload_is(cls, status: str, asked: str) -> "ApiError":
        """What is asked of an upload can only be asked while it is pending."""
        return cls(400, f"Cannot {asked} an upload with status '{status}'.")

    @classmethod
    def file_corrupt(cls, file_id: str) -> "ApiError":
        """The stored bytes are not those that came; asking again cannot help."""
        return cls(
            500,
            f"The stored bytes of {file_id} are damaged or gone.",
            code="file_corrupt",
            type="server_error",
            headers={"x-should-retry": "false"},
        )

    @classmethod
    def cannot_cancel(cls, status: str) -> "ApiError":
        """The batch has ended already; asking again cannot help."""
        return cls(
            409,
            f"Cannot cancel a batch with status '{status}'.",
            headers={"x-should-retry": "false"},
        )

    @classmethod
    def cannot(cls, verb: str, status: str) -> "ApiError":
        """The batch ends or has ended; asking again cannot help."""
        return cls(
            409,
            f"Cannot {verb} a batch with status '{status}'.",
            headers={"x-should-retry": "false"},
        )

    @classmethod
    def missing(cls, param: str) -> "ApiError":
        """A required parameter is not there."""
        return cls(
            400,
            f"Missing required parameter: '{param}'.",
            code="missing_required_parameter",
            param=param,
        )

    @classmethod
    def empty(cls, param: str) -> "ApiError":
        """A text is empty that must say something."""
        return cls(
            400,
            f"Invalid '{param}': empty string. Expected a string with minimum length 1, but got an "
            "empty string instead.",
            code="empty_string",
            param=param,
        )

    @classmethod
    def invalid_type(cls, param: str, expected: str, got: str) -> "ApiError":
        """A parameter has another JSON type than the one it must have."""
        return cls(
            400,
            f"Invalid type for '{param}': expected {expected}, but got {got} instead.",
            code="invalid_type",
            param=param,
        )

    @classmethod
    def invalid_value(cls, param: str, value: object, supported: Sequence[str]) -> "ApiError":
        """A parameter has a value that is none of those it may have."""
        choices = _join_choices([f"'{choice}'" for choice in supported])
        shown = str(value)[:100]
        return cls(
            400,
            f"Invalid value: '{shown}'. Supported values are: {choices}.",
            code="invalid_value",
            param=param,
        )

    @classmethod
    def below_min(cls, param: str, value: int, minimum: int) -> "ApiError":
        """A number is too small."""
        return cls(
            400,
            f"Invalid '{param}': integer below minimum value. "
            f"Expected a value >= {minimum}, but got {_number(value)} instead.",
            code="integer_below_min_value",
            param=param,
        )

    @classmethod
    def above_max(cls, param: str, value: int, maximum: int) -> "ApiError":
        """A number is too large."""
        return cls(
            400,
            f"Invalid '{param}': integer above maximum value. "
            f"Expected a value <= {maximum}, but got {_number(value)} instead.",
            code="integer_above_max_value",
            param=param,
        )

    @classmethod
    def unavailable(cls, message: str, *, retry_after_seconds: int = 1) -> "ApiError":
        """The server cannot do it now and says when to ask again."""
        return cls(
            503,
            message,
            type="server_error",
            headers={"retry-after": str(retry_after_seconds)},
        )


def _join_choices(choices: list[str]) -> str:
    if len(choices) < 2:
        return "".join(choices)
    return ", ".join(choices[:-1]) + f", and {choices[-1]}"


def _number(value: int) -> str:
    return str(value) if abs(value) < 10**30 else f"a number of {value.bit_length()} bits"
