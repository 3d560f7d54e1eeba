"""What the page says of a process that is frozen inside its transaction."""

import asyncio
import os
import signal
from pathlib import Path

import pytest

from tests.programs import launcher
from unbroken import StoreUnavailable, Unbroken, capture, flow
from unbroken.engine.events import Event


@flow
async def order_flow() -> int:
    return await capture("answer", int, "42")


FROZEN = """
import asyncio, os, signal, threading
from unbroken import Unbroken, capture, flow
from unbroken.stores.sqlite import store

@flow
async def order_flow() -> int:
    return await capture("answer", int, "42")

apply = store.apply

def apply_and_freeze(tx, batch, **how):
    receipt = apply(tx, batch, **how)
    if batch.records:
        print("frozen", os.getpid())
        os.kill(os.getpid(), signal.SIGSTOP)
        threading.Event().wait(1)  # the signal may reach another thread first
    return receipt

store.apply = apply_and_freeze

async def main():
    app = Unbroken("sqlite:///frozen.db")
    orders = app.register(order_flow)
    async with app:
        print(await orders.run("MK-1"))

asyncio.run(main())
"""

pytestmark = pytest.mark.crash


@pytest.mark.parametrize("help_out", [signal.SIGKILL, signal.SIGCONT])
async def test_process_frozen_in_its_transaction_is_waited_for(
    help_out: signal.Signals, tmp_path: Path
) -> None:
    program = tmp_path / "frozen.py"
    program.write_text(FROZEN, encoding="utf-8")
    told = asyncio.Event()

    def listen(event: Event) -> None:
        if event.name == "store.unavailable":
            told.set()

    url = f"sqlite:///{tmp_path / 'frozen.db'}"
    app = Unbroken(url)
    app.subscribe(listen)
    orders = app.register(order_flow)
    with launcher(tmp_path) as start:
        async with asyncio.timeout(50), app:
            line = await asyncio.to_thread(start(program).wait_for, "frozen")
            second = asyncio.create_task(orders.run("MK-2"))
            waiting = asyncio.create_task(told.wait())
            third = asyncio.create_task(Unbroken(url).start())
            await asyncio.wait((second, waiting), return_when=asyncio.FIRST_COMPLETED)
            assert not second.done(), await second
            with pytest.raises(StoreUnavailable, match="another process has held"):
                await third
            os.kill(int(line.split()[-1]), help_out)
            assert await second == 42
            assert await orders.completion("MK-1") == 42
