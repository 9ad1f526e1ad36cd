"""The codes of why a batch, a run or a server stands still."""

__all__ = ["REASON_CODES"]

# What each means, what to do, and whether it may go away by itself.
REASON_CODES: dict[str, tuple[str, str] | tuple[str, str, bool]] = {
    "no_worker": ("No worker of the server runs.", "Who runs it: see its log.", True),
    "upstream_down": ("The model's server does not answer.", "Is it up?", True),
    "upstream_refuses": (
        "The model's server refuses the key, or what it may do.",
        "Correct the key where the message says; it is probed again by itself.",
        True,
    ),
    "upstream_out_of_credit": (
        "The account at the model's server has no credit left.",
        "Fill it up; it is asked again every few minutes.",
        True,
    ),
    "upstream_lacks_model": (
        "The model's server does not serve the model.",
        "Load it there, or add an alias for it below [[upstream]].",
        True,
    ),
    "upstream_misplaced": (
        "At the upstream's URL there is no model server.",
        "Correct its `url`; it usually ends in /v1.",
        True,
    ),
    "upstream_slow": (
        "Requests are at the model's server, and no answer has come for a minute.",
        "Wait, or see the server's own log.",
        True,
    ),
    "no_upstream": (
        "No upstream serves anything now.",
        "The message says how each stands: GET /readyz.",
        True,
    ),
    "lane_failed": (
        "An error of Batchyard's own has paused what goes to an upstream.",
        "It goes on by itself; the log has the error, which is worth a report.",
        True,
    ),
    "upstream_throttling": (
        "The model's server asks for patience.",
        "It is asked as often as it allows.",
        True,
    ),
    "retry_backoff": ("All lines wait to be asked again.", "They are, in a moment.", True),
    "waiting_quota": (
        "Other batches hold the tokens that this one needs.",
        "It starts when they end; batchyard quota shows and sets the limit.",
        True,
    ),
    "behind_higher_priority": ("Batches of higher priority go first.", "Wait.", True),
    "paused_by": ("Somebody has paused the batch.", "POST /v1/batches/ID/resume.", True),
    "disk_low": (
        "The server's disk is nearly full, so nothing is asked.",
        "Who runs it: free room; it goes on by itself.",
        True,
    ),
    "disk_read_only": (
        "The server's disk has become read-only, so nothing can be recorded.",
        "Who runs it: mount it for writing; it goes on by itself.",
        True,
    ),
    "disk_slow": (
        "Results come faster than the disk takes them.",
        "It goes on when they are written; a faster disk helps.",
        True,
    ),
    "store_unavailable": (
        "The server's database is locked by another program, or fails.",
        "Who runs it: end the backup or what else holds it; its log says more.",
        True,
    ),
    "data_gone": (
        "The server's data folder was removed while it ran.",
        "Who runs it: put it back, or restart the server.",
    ),
}
