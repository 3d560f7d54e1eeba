"""`patched`: two ways through one flow, the old one for flows that have gone it already."""

from __future__ import annotations

from unbroken.engine.deploys import is_patched
from unbroken.engine.scope import current_scope
from unbroken.model.errors import NotInFlow
from unbroken.model.ids import check_name


def patched(name: str, /) -> bool:
    """Say whether the running flow takes the new way at this point of its code.

    True for a flow that comes here first with the new code, False for one that had gone past with
    the old code: something is recorded that its code asks for only later. The answer is recorded
    with the next write and stays, for each use of the name. Raises InvalidId for a bad name,
    NotInFlow outside of a flow and inside a captured body.
    """
    check_name(name, "name of a patch")
    scope = current_scope("patched(…)")
    if scope.body_of is not None:
        raise NotInFlow(
            f"patched({name!r}) was called inside the captured body {scope.body_of!r}, which runs "
            "as one effect: ask in the flow itself, and hand the answer over"
        )
    scope.incarnation.check_open()
    return is_patched(scope, scope.take(f"patched:{name}", explicit=True))
