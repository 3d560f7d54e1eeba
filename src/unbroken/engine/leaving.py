"""How code leaves an incarnation that is over, and code that will not is held.

The signal is a BaseException. Code that swallows it and asks again and again would never let the
event loop turn; so it is held where it asks, for ever, and the flow ends without it.
"""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, NoReturn

from unbroken.model import signals

if TYPE_CHECKING:
    from unbroken.engine.incarnation import Incarnation

FOR_EVER = 3e9


async def leave(incarnation: Incarnation) -> NoReturn:
    """Raise the signal, if the code still listens to it."""
    incarnation.note_late_call()
    if incarnation.ignores_the_signal:
        loop = asyncio.get_running_loop()
        held = loop.create_future()
        # The loop holds it: collected as garbage, the code would be woken once more, and go on.
        loop.call_later(FOR_EVER, held.cancel)
        await held
    raise signals.Suspended
