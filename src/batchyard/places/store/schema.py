"""The tables.

Rows are O(batches + shards): a request line never has a row of its own. What a shard has
answered is a bit mask in the shard's row, and the answers themselves are bytes in segments.
"""

from sqlalchemy import (
    JSON,
    BigInteger,
    Boolean,
    Column,
    Float,
    ForeignKey,
    Index,
    Integer,
    LargeBinary,
    MetaData,
    String,
    Table,
)

__all__ = [
    "batch_models",
    "batches",
    "deliveries",
    "events",
    "failures",
    "files",
    "installation",
    "keys",
    "lanes",
    "metadata",
    "projects",
    "promises",
    "rate_limits",
    "segments",
    "shards",
    "upload_parts",
    "uploads",
    "upstream_models",
    "usage",
    "webhook_endpoints",
    "workers",
]

metadata = MetaData()

# One row, once a server has started here: which database this is, and how often it has named
# blobs. The same two stand beside the database and beside the blobs, which may be mounted apart.
installation = Table(
    "installation",
    metadata,
    Column("id", String, primary_key=True),
    Column("generation", BigInteger, nullable=False),
)

# SQLite gives rowids only to a column that is INTEGER to the letter.
_Sequence = BigInteger().with_variant(Integer(), "sqlite")

projects = Table(
    "projects",
    metadata,
    Column("id", String, primary_key=True),
    Column("name", String, nullable=False, unique=True),
    Column("created_at", BigInteger, nullable=False),
    Column("archived_at", BigInteger),
    # Null: that of the server's settings.
    Column("profile", String),
    # Limits by name where the project's differ from the profile's.
    Column("limits", JSON(none_as_null=True)),
)

keys = Table(
    "keys",
    metadata,
    Column("id", String, primary_key=True),
    Column("project_id", String, nullable=False),
    Column("name", String, nullable=False),
    Column("secret_sha256", String, nullable=False, unique=True),
    Column("hint", String, nullable=False),
    Column("created_at", BigInteger, nullable=False),
    Column("revoked_at", BigInteger),
    # Null: everything.
    Column("scopes", JSON(none_as_null=True)),
    Column("expires_at", BigInteger),
    Column("last_used_at", BigInteger),
)

files = Table(
    "files",
    metadata,
    Column("sequence", _Sequence, primary_key=True, autoincrement=True),
    Column("id", String, nullable=False, unique=True),
    Column("project_id", String, nullable=False),
    Column("purpose", String, nullable=False),
    Column("filename", String, nullable=False),
    Column("size_bytes", BigInteger, nullable=False),
    Column("sha256", String, nullable=False),
    Column("created_at", BigInteger, nullable=False),
    Column("expires_at", BigInteger),
    Column("deleted_at", BigInteger),
    # [[blob, size_bytes], ...]: the content is these blobs, one after the other.
    Column("parts", JSON, nullable=False),
    # What validation learned while the upload flowed; only batch input files have it.
    Column("digest", LargeBinary),
    Index("files_by_project", "project_id", "sequence"),
    Index("files_by_expiry", "expires_at"),
)

batches = Table(
    "batches",
    metadata,
    Column("sequence", _Sequence, primary_key=True, autoincrement=True),
    Column("id", String, nullable=False, unique=True),
    Column("project_id", String, nullable=False),
    Column("endpoint", String, nullable=False),
    Column("input_file_id", String, nullable=False),
    Column("completion_window", String, nullable=False),
    Column("status", String, nullable=False),
    Column("model", String),
    Column("errors", LargeBinary),
    Column("output_file_id", String),
    Column("error_file_id", String),
    Column("created_at", BigInteger, nullable=False),
    Column("expires_at", BigInteger, nullable=False),
    Column("in_progress_at", BigInteger),
    Column("finalizing_at", BigInteger),
    Column("completed_at", BigInteger),
    Column("failed_at", BigInteger),
    Column("expired_at", BigInteger),
    Column("cancelling_at", BigInteger),
    Column("cancelled_at", BigInteger),
    Column("total", BigInteger, nullable=False),
    Column("completed", BigInteger, nullable=False),
    Column("failed", BigInteger, nullable=False),
    Column("input_tokens", BigInteger, nullable=False),
    Column("cached_tokens", BigInteger, nullable=False),
    Column("output_tokens", BigInteger, nullable=False),
    Column("reasoning_tokens", BigInteger, nullable=False),
    Column("total_tokens", BigInteger, nullable=False),
    # Requests sent upstream, and those of them that were sent again after a worker was lost.
    Column("calls", BigInteger, nullable=False),
    Column("metadata", JSON(none_as_null=True)),
    Column("output_expires_after_seconds", BigInteger),
    Column("line_id_prefix", String, nullable=False),
    Column("open_shards", Integer, nullable=False),
    # The worker that validates or finalizes; the transitions themselves are compare-and-set.
    Column("steward", String),
    # A paused batch gives no shard out; who paused it: "user" or "budget".
    Column("paused_at", BigInteger),
    Column("paused_by", String),
    # Null while a validated batch waits for its tokens to be free.
    Column("admitted_at", BigInteger),
    Column("priority", Integer, nullable=False, server_default="0"),
    # {"tokens": n} or {"usd": x}: where it stops.
    Column("budget", JSON(none_as_null=True)),
    # The batch whose failed lines this one asks again.
    Column("retry_of", String),
    # When a result was last recorded.
    Column("moved_at", BigInteger),
    Index("batches_by_project", "project_id", "sequence"),
    Index("batches_by_status", "status", "sequence"),
    Index("batches_by_input", "input_file_id"),
    Index("batches_by_retried", "retry_of"),
)

# What a batch asks of one model: the tokens it holds of its quota, and its price.
batch_models = Table(
    "batch_models",
    metadata,
    Column("batch_id", String, ForeignKey("batches.id"), primary_key=True),
    Column("model", String, primary_key=True),
    Column("project_id", String, nullable=False),
    Column("lines", BigInteger, nullable=False),
    # Input tokens as estimated at validation.
    Column("tokens", BigInteger, nullable=False),
    # They count as enqueued until the batch has ended.
    Column("held", Boolean, nullable=False),
    # The price in force when the batch was validated.
    Column("price", JSON(none_as_null=True)),
    Index("batch_models_held", "project_id", "model", "held"),
)

# What was answered, by batch, model and UTC day; written with the results themselves.
usage = Table(
    "usage",
    metadata,
    Column("batch_id", String, primary_key=True),
    Column("model", String, primary_key=True),
    # Unix time of the first second of the day.
    Column("day", BigInteger, primary_key=True),
    Column("project_id", String, nullable=False),
    Column("completed", BigInteger, nullable=False),
    Column("failed", BigInteger, nullable=False),
    Column("input_tokens", BigInteger, nullable=False),
    Column("cached_tokens", BigInteger, nullable=False),
    Column("output_tokens", BigInteger, nullable=False),
    Column("reasoning_tokens", BigInteger, nullable=False),
    Column("total_tokens", BigInteger, nullable=False),
    Column("calls", BigInteger, nullable=False),
    Index("usage_by_project", "project_id", "day"),
)

# Failed lines of a batch by their cause; `line` and what follows is of the first one recorded.
failures = Table(
    "failures",
    metadata,
    Column("batch_id", String, ForeignKey("batches.id"), primary_key=True),
    Column("code", String, primary_key=True),
    # The HTTP status of the upstream's answer; 0 where there was none.
    Column("status", Integer, primary_key=True),
    Column("count", BigInteger, nullable=False),
    # Requests are counted from 1.
    Column("line", BigInteger, nullable=False),
    Column("custom_id", String),
    Column("message", String, nullable=False),
)

# The quotas of a project by model; the model "*" stands for all that have no row.
rate_limits = Table(
    "rate_limits",
    metadata,
    Column("project_id", String, primary_key=True),
    Column("model", String, primary_key=True),
    # Input tokens that may be enqueued at once; null: no limit.
    Column("enqueued_tokens_max", BigInteger),
)

shards = Table(
    "shards",
    metadata,
    Column("batch_id", String, ForeignKey("batches.id"), primary_key=True),
    Column("position", Integer, primary_key=True),
    Column("model", String, nullable=False),
    Column("start", BigInteger, nullable=False),
    Column("size_bytes", BigInteger, nullable=False),
    Column("first_index", BigInteger, nullable=False),
    Column("lines", Integer, nullable=False),
    Column("remaining", Integer, nullable=False),
    # Bit i set: line first_index + i has its answer recorded.
    Column("answered", LargeBinary, nullable=False),
    Column("worker", String),
    Column("epoch", Integer, nullable=False),
    # How often a worker died with lines of it at the upstream, and the Unix time of the last.
    Column("losses", Integer, nullable=False),
    Column("lost_at", BigInteger),
    # When lines of it were last known to be at the upstream; null while none is.
    Column("sent_at", BigInteger),
    # Bit i set: this line is in the group that its worker noted before it was sent.
    Column("trial", LargeBinary),
    # The group that was out when a worker last died with it.
    Column("suspects", LargeBinary),
    Index("shards_by_worker", "worker"),
    Index("shards_open", "batch_id", "model", "worker", "remaining"),
)

segments = Table(
    "segments",
    metadata,
    Column("batch_id", String, ForeignKey("batches.id"), primary_key=True),
    Column("blob", String, primary_key=True),
    Column("kind", String, nullable=False),
    # Bytes and lines up to here are recorded; what the blob holds beyond is not.
    Column("size_bytes", BigInteger, nullable=False),
    Column("lines", BigInteger, nullable=False),
    Column("sha256", String, nullable=False),
)

workers = Table(
    "workers",
    metadata,
    Column("id", String, primary_key=True),
    Column("alive_until", Float, nullable=False),
)

# How a worker's lane for a model stands, as the worker last said.
lanes = Table(
    "lanes",
    metadata,
    Column("worker", String, primary_key=True),
    Column("model", String, primary_key=True),
    Column("upstream", String, primary_key=True),
    Column("standing", LargeBinary, nullable=False),
    Column("said_at", BigInteger, nullable=False),
)

# What each upstream served when it was last heard of.
upstream_models = Table(
    "upstream_models",
    metadata,
    Column("upstream", String, primary_key=True),
    Column("url", String, nullable=False),
    Column("models", JSON, nullable=False),
    Column("any_model", Boolean, nullable=False),
    Column("asked_at", BigInteger, nullable=False),
)

uploads = Table(
    "uploads",
    metadata,
    Column("id", String, primary_key=True),
    Column("project_id", String, nullable=False),
    Column("filename", String, nullable=False),
    Column("purpose", String, nullable=False),
    Column("mime_type", String, nullable=False),
    Column("bytes", BigInteger, nullable=False),
    Column("status", String, nullable=False),
    Column("created_at", BigInteger, nullable=False),
    Column("expires_at", BigInteger, nullable=False),
    # The lifetime of the file that it becomes.
    Column("file_seconds", BigInteger),
    Column("file_id", String),
    Index("uploads_by_expiry", "status", "expires_at"),
)

upload_parts = Table(
    "upload_parts",
    metadata,
    Column("id", String, primary_key=True),
    Column("upload_id", String, ForeignKey("uploads.id"), nullable=False),
    Column("created_at", BigInteger, nullable=False),
    Column("size_bytes", BigInteger, nullable=False),
    Column("blob", String, nullable=False),
    Index("upload_parts_by_upload", "upload_id"),
)

# Requests that must not take effect twice, and what was answered to them.
promises = Table(
    "promises",
    metadata,
    Column("project_id", String, primary_key=True),
    # What the client named, or what its request is made of where it named nothing.
    Column("key", String, primary_key=True),
    Column("request_sha256", String, nullable=False),
    Column("created_at", BigInteger, nullable=False),
    Column("expires_at", BigInteger, nullable=False),
    # What the request made, in the same transaction.
    Column("made_id", String),
    # The first answer; null while the request runs.
    Column("status", Integer),
    Column("answer", LargeBinary),
    Index("promises_by_expiry", "expires_at"),
)

webhook_endpoints = Table(
    "webhook_endpoints",
    metadata,
    Column("sequence", _Sequence, primary_key=True, autoincrement=True),
    Column("id", String, nullable=False, unique=True),
    Column("project_id", String, nullable=False),
    Column("name", String, nullable=False),
    Column("url", String, nullable=False),
    Column("event_types", JSON, nullable=False),
    # Needed in clear to sign with; shown once.
    Column("secret", String, nullable=False),
    Column("old_secret", String),
    Column("old_secret_until", BigInteger),
    Column("created_at", BigInteger, nullable=False),
    Column("updated_at", BigInteger),
    Column("disabled_at", BigInteger),
    Column("disabled_because", String),
    Index("webhook_endpoints_by_project", "project_id", "sequence"),
)

# What happened and is to be told: written with the transition itself.
events = Table(
    "events",
    metadata,
    Column("sequence", _Sequence, primary_key=True, autoincrement=True),
    Column("id", String, nullable=False, unique=True),
    Column("project_id", String, nullable=False),
    Column("type", String, nullable=False),
    Column("batch_id", String, nullable=False),
    Column("created_at", BigInteger, nullable=False),
    Index("events_by_age", "created_at"),
)

deliveries = Table(
    "deliveries",
    metadata,
    Column("sequence", _Sequence, primary_key=True, autoincrement=True),
    Column("id", String, nullable=False, unique=True),
    Column("event_id", String, ForeignKey("events.id"), nullable=False),
    Column("endpoint_id", String, nullable=False),
    # pending, sending, delivered or given_up.
    Column("state", String, nullable=False),
    Column("attempts", Integer, nullable=False),
    # Unix time of the next attempt, or until when one is under way; null when there is none.
    Column("due_at", Float),
    Column("attempted_at", BigInteger),
    Column("status_code", Integer),
    Column("fault", String),
    Index("deliveries_due", "due_at"),
    Index("deliveries_by_endpoint", "endpoint_id", "sequence"),
    Index("deliveries_by_event", "event_id"),
)
