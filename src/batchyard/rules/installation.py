"""Whether a database and a folder of blobs belong together, or something was lost on the way.

A mark is the id of an installation and its generation. The same mark stands in the database,
in a file beside it, and in a file beside the blobs; the two files may lag behind the database,
because they are written after it, but are never ahead of the database they were made from.
"""

__all__ = ["Mark", "objection", "too_many_unnamed"]

Mark = tuple[str, int]

# A crash leaves a few blobs without a name. More than these at once look like a loss of rows:
# always allowed, as a part of all blobs, and at most.
_FEW, _PART, _MANY = 10, 0.05, 100
_BEHIND = "the database is older than the blobs: it does not know all files that were stored"


def objection(
    database: Mark | None,
    *,
    beside_database: Mark | None,
    beside_blobs: Mark | None,
    names_blobs: bool,
    has_blobs: bool,
) -> str | None:
    """Why nothing may be deleted and no server may start; None where all belongs together.

    `database` is None before the first start on it, as after an upgrade from an older Batchyard.
    """
    marks = [mark for mark in (beside_database, beside_blobs) if mark is not None]
    if database is None and not names_blobs and (has_blobs or any(mark[1] for mark in marks)):
        return "the database is new and names no files, but there are blobs of an older one"
    if database is None:
        return _BEHIND if any(mark[1] for mark in marks) else None
    if any(mark[0] != database[0] for mark in marks):
        return "the database belongs to another installation than what lies beside it"
    if any(mark[1] > database[1] for mark in marks):
        return _BEHIND
    if beside_blobs is None and names_blobs and not has_blobs:
        return "the database names files, but the folder of blobs is empty"
    return None


def too_many_unnamed(unnamed: int, blobs: int) -> bool:
    """Whether so many blobs of all lack a name that rows were lost rather than left over."""
    return unnamed > max(_FEW, min(_MANY, int(blobs * _PART)))
