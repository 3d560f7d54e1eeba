"""Continue as new: a flow that lives for ever begins again with an empty journal."""

from __future__ import annotations

from typing import NoReturn

from unbroken.engine.cancelling import heed_cancel
from unbroken.engine.leaving import leave
from unbroken.engine.outcomes import Continued
from unbroken.engine.questions import refuse_unanswered
from unbroken.engine.scope import Scope
from unbroken.model import signals


async def begin_anew(scope: Scope, param: str) -> NoReturn:
    """Seal the incarnation; the write that ends it empties the journal and keeps the owner.

    Refused by the store if a cancel was asked meanwhile: then the flow runs again and meets it. One
    that was raised before is raised again: a flow that swallowed it must not live on.
    """
    incarnation = scope.incarnation
    key = scope.take("continue_as_new", explicit=False)
    if not incarnation.is_open():
        await leave(incarnation)
    incarnation.check_cancelled(key)
    if incarnation.cancelled_at is not None:
        raise incarnation.cancel_error()
    await heed_cancel(scope, key)
    refuse_unanswered(incarnation)
    incarnation.seal(Continued(param))
    raise signals.Suspended
