"""Quotas at the door: OpenAI's rate limits of a project, and what is free of them."""

import openai
import pytest

from tests.server.door import Caller, Door


@pytest.fixture
def setter(door: Door, caller: Caller) -> Caller:
    """Somebody of the same project whose key was made to set limits."""
    return door.caller(project=project_of(caller), scopes=("api.limits.write",))


def project_of(caller: Caller) -> str:
    """The project of a caller."""
    id: str = caller.door.project_of(caller.create().json["id"])
    return id


def test_the_official_client_lists_and_sets_limits(caller: Caller, setter: Caller) -> None:
    """Every model that is served has one; the workers hear of a change."""
    project = project_of(caller)
    with (
        caller.sdk(admin_api_key=caller.secret) as client,
        setter.sdk(admin_api_key=setter.secret) as admin,
    ):
        limits = client.admin.organization.projects.rate_limits
        before = list(limits.list_rate_limits(project, limit=2))
        assert [one.model for one in before] == ["*", "org/tiny", "tiny"]
        assert {one.batch_1_day_max_input_tokens for one in before} == {None}
        rings = caller.door.rings
        for model, most in (("org/tiny", 5_000), ("*", 7)):
            changed = admin.admin.organization.projects.rate_limits.update_rate_limit(
                f"rl-{model}", project_id=project, batch_1_day_max_input_tokens=most
            )
            assert (changed.model, changed.batch_1_day_max_input_tokens) == (model, most)
        assert caller.door.rings == rings + 2
        after = {
            one.model: one.batch_1_day_max_input_tokens for one in limits.list_rate_limits(project)
        }
        assert after == {"*": 7, "org/tiny": 5_000, "tiny": 7}


def test_lists_are_paged_both_ways(caller: Caller) -> None:
    """After an id and before one; an unknown one has nothing beside it."""
    path = f"/v1/organization/projects/{project_of(caller)}/rate_limits"
    pages = {
        query: caller.ask("GET", f"{path}?{query}").json
        for query in ("limit=1&after=rl-*", "limit=1&before=rl-tiny", "before=rl-*", "after=x")
    }
    models = [[one["model"] for one in page["data"]] for page in pages.values()]
    assert models == [["org/tiny"], ["org/tiny"], [], []]
    assert [page["has_more"] for page in pages.values()] == [True, True, False, False]


def test_whoever_is_bound_cannot_raise_the_limit(caller: Caller) -> None:
    """A key that may do everything else may not do this."""
    with (
        caller.sdk(admin_api_key=caller.secret) as client,
        pytest.raises(openai.PermissionDeniedError),
    ):
        client.admin.organization.projects.rate_limits.update_rate_limit(
            "rl-tiny", project_id=project_of(caller), batch_1_day_max_input_tokens=1
        )


def test_another_project_is_a_missing_one(caller: Caller, setter: Caller) -> None:
    """To read and to set."""
    path = "/v1/organization/projects/proj_x/rate_limits"
    for answer in (
        caller.ask("GET", path),
        setter.post(f"{path}/rl-tiny", {"batch_1_day_max_input_tokens": 1}),
    ):
        assert answer.error == (404, None, None)
        assert answer.json["error"]["message"] == "No project found with id 'proj_x'."


@pytest.mark.parametrize(
    ("id", "body", "error"),
    [
        ("tiny", {"batch_1_day_max_input_tokens": 1}, (404, None, None)),
        ("rl-", {"batch_1_day_max_input_tokens": 1}, (404, None, None)),
        (
            "rl-m",
            {},
            (400, "missing_required_parameter", "batch_1_day_max_input_tokens"),
        ),
        (
            "rl-m",
            {"batch_1_day_max_input_tokens": -1},
            (400, "integer_below_min_value", "batch_1_day_max_input_tokens"),
        ),
        (
            "rl-m",
            {"batch_1_day_max_input_tokens": 2**60},
            (400, "integer_above_max_value", "batch_1_day_max_input_tokens"),
        ),
        (
            "rl-m",
            {"batch_1_day_max_input_tokens": "1"},
            (400, "invalid_type", "batch_1_day_max_input_tokens"),
        ),
        (
            "rl-m",
            {"batch_1_day_max_input_tokens": 1, "max_requests_per_1_day": 5},
            (400, "unsupported_parameter", "max_requests_per_1_day"),
        ),
    ],
)
def test_a_wrong_limit_is_refused(
    caller: Caller, setter: Caller, id: str, body: object, error: object
) -> None:
    """By the name of the parameter."""
    path = f"/v1/organization/projects/{project_of(caller)}/rate_limits/{id}"
    assert setter.post(path, body).error == error


def test_headroom_names_the_holders(caller: Caller, setter: Caller) -> None:
    """Limit, used, free, who holds and who waits; null where nothing is bounded."""
    project = project_of(caller)
    path = f"/v1/organization/projects/{project}/rate_limits/rl-tiny"
    assert setter.post(path, {"batch_1_day_max_input_tokens": 100}).status == 200
    holder, waiter = (caller.create().json["id"] for _ in range(2))
    caller.door.populate(holder, 60)
    caller.door.populate(waiter, 50)
    quota = {
        "object": "batchyard.quota",
        "model": "tiny",
        "limit": 100,
        "used": 60,
        "free": 40,
        "holders": [{"batch_id": holder, "tokens": 60}],
        "waiting": [{"batch_id": waiter, "tokens": 50}],
    }
    assert caller.ask("GET", "/v1/batchyard/quota").json == {"object": "list", "data": [quota]}
    assert setter.post(path, {"batch_1_day_max_input_tokens": None}).status == 200
    (free,) = caller.ask("GET", "/v1/batchyard/quota").json["data"]
    assert (free["limit"], free["used"], free["free"], free["waiting"]) == (None, 110, None, [])
