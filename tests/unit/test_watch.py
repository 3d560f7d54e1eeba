"""Which line is named when the event loop does not turn."""

import asyncio
import sys
import sysconfig
import threading
import traceback
from traceback import FrameSummary

from unbroken.watch import place_of

STDLIB = sysconfig.get_path("stdlib")
RUN = FrameSummary(f"{STDLIB}/asyncio/events.py", 80, "_run", lookup_line=False, line="")


def line(file: str, name: str) -> FrameSummary:
    return FrameSummary(file, 7, name, lookup_line=False, line="")


MAIN = line("/app/main.py", "main")
FLOW = line("/app/flows.py", "order_flow")
SOCKET = line(f"{STDLIB}/ssl.py", "read")
REQUESTS = line(f"{sysconfig.get_path('purelib')}/requests/api.py", "get")


def test_the_users_line_is_named_and_not_the_library_that_it_calls() -> None:
    assert place_of([MAIN, RUN, FLOW, REQUESTS, SOCKET]) == "/app/flows.py:7 in order_flow"


def test_the_line_that_started_the_loop_is_not_the_one() -> None:
    assert place_of([MAIN, RUN, REQUESTS]).endswith("requests/api.py:7 in get")


def test_a_blocked_main_thread_without_a_task_is_named_too() -> None:
    assert place_of([MAIN, SOCKET]) == "/app/main.py:7 in main"


def test_nothing_to_see_is_said() -> None:
    assert place_of([]) == "an unknown line"


async def test_a_real_stack_leads_to_this_line() -> None:
    async def block() -> str:
        await asyncio.sleep(0)
        seen: list[str] = []
        looks = threading.Thread(target=look, args=(threading.get_ident(), seen))
        looks.start()
        looks.join()
        return seen[0]

    assert "test_watch.py" in await asyncio.create_task(block())
    assert (await asyncio.create_task(block())).endswith("in block")


def look(thread: int, seen: list[str]) -> None:

    seen.append(place_of(traceback.extract_stack(sys._current_frames()[thread])))
