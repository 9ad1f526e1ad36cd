"""One answer per line endpoint: from the request's fields to the body and its tokens."""

from collections.abc import Callable, Mapping

from batchyard.sim.answers.chat import answer_chat
from batchyard.sim.answers.completions import answer_completions
from batchyard.sim.answers.embeddings import answer_embeddings
from batchyard.sim.answers.moderations import answer_moderations
from batchyard.sim.answers.pictures import answer_images, answer_videos
from batchyard.sim.answers.reading import Reading
from batchyard.sim.answers.responses import answer_responses

__all__ = ["ANSWERS"]

ANSWERS: Mapping[str, Callable[[Reading], tuple[bytes, int]]] = {
    "/v1/responses": answer_responses,
    "/v1/chat/completions": answer_chat,
    "/v1/embeddings": answer_embeddings,
    "/v1/completions": answer_completions,
    "/v1/moderations": answer_moderations,
    "/v1/images/generations": answer_images,
    "/v1/images/edits": answer_images,
    "/v1/videos": answer_videos,
}
