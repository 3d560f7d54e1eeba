"""Children that must not be: named errors, and nothing started."""

import pytest

from tests.flows.apps import Apps, count_rows, loose
from unbroken import FlowFailed, NotInFlow, NotRegistered, UsageError, capture, flow


@flow
async def double(n: int) -> int:
    return n * 2


@flow
async def parent_of_one(n: int) -> int:
    return await double.run("child", n) + 1


async def test_a_flow_that_would_wait_for_itself_is_told_at_once(apps: Apps) -> None:
    @flow
    async def ouroboros() -> None:
        await ouroboros.run("tail")

    app = apps()
    flows = app.register(ouroboros)
    async with app:
        with pytest.raises(FlowFailed, match="would wait for itself: give the child its own id"):
            await flows.run("tail")
        assert count_rows(app, "flows") == 1


async def test_a_child_of_an_unregistered_type_is_refused(apps: Apps) -> None:
    app = apps()
    parents = app.register(parent_of_one)
    async with app:
        with pytest.raises(FlowFailed, match="'double' is not registered: call app"):
            await parents.run("p", 1)
        assert count_rows(app, "flows") == 1


async def test_a_flow_function_starts_children_only_inside_a_flow() -> None:
    with pytest.raises(NotInFlow, match="use the handle that"):
        loose(double).run("a", 1)
    with pytest.raises(NotInFlow, match="use the handle that"):
        loose(double).schedule("a", 1)


async def test_a_captured_body_starts_no_child(apps: Apps) -> None:
    @flow
    async def parent() -> int:
        return await capture("body", lambda: double.run("child", 1))

    app = apps()
    app.register(double)
    parents = app.register(parent)
    async with app:
        with pytest.raises(FlowFailed, match="inside the captured body 'body'"):
            await parents.run("p")
        assert count_rows(app, "flows") == 1


async def test_a_child_whose_arguments_cannot_be_kept_is_not_started(apps: Apps) -> None:
    @flow
    async def parent() -> None:
        await loose(double).run("child", object())

    app = apps()
    app.register(double)
    parents = app.register(parent)
    async with app:
        with pytest.raises(FlowFailed, match=r"\$\.n"):
            await parents.run("p")
        assert count_rows(app, "flows") == 1


def test_usage_errors_are_one_family() -> None:
    assert issubclass(NotInFlow, UsageError)
    assert not issubclass(NotRegistered, UsageError)
