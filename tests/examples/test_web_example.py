"""The web service: a 202 is a promise that the next server keeps."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from datetime import timedelta
from pathlib import Path
from typing import Any

import httpx
import pytest

from tests.examples.test_examples_in_virtual_time import imported
from unbroken import Unbroken

ORDER = {"id": "MK-1", "product": "a book"}


@asynccontextmanager
async def served(site: Any) -> AsyncIterator[httpx.AsyncClient]:
    """Be the server: begin and end the site's life, and hand it requests."""
    told: asyncio.Queue[str] = asyncio.Queue()
    events: asyncio.Queue[dict[str, str]] = asyncio.Queue()

    async def send(event: Any) -> None:
        told.put_nowait(event["type"])

    living = asyncio.create_task(site({"type": "lifespan"}, events.get, send))
    events.put_nowait({"type": "lifespan.startup"})
    assert await told.get() == "lifespan.startup.complete"
    transport = httpx.ASGITransport(app=site)
    try:
        async with httpx.AsyncClient(transport=transport, base_url="http://shop") as client:
            yield client
    finally:
        events.put_nowait({"type": "lifespan.shutdown"})
        assert await told.get() == "lifespan.shutdown.complete"
        await living


async def test_order_that_was_accepted_is_shown_until_it_is_on_its_way(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with imported("web_orders") as example:
        packing, packed = asyncio.Event(), asyncio.Event()

        async def pack(product: str) -> str:
            packing.set()
            await packed.wait()
            return product

        monkeypatch.setattr(example, "pack", pack)
        site = example.Site(Unbroken(f"sqlite:///{tmp_path / 'orders.db'}"))
        async with served(site) as client:
            assert (await client.get("/orders/MK-1")).status_code == 404
            assert (await client.post("/orders", json=ORDER)).status_code == 202
            await packing.wait()
            assert (await client.get("/orders/MK-1")).json() == {"stage": "packing"}
            packed.set()
            assert await site.orders.completion("MK-1") == "a book"
            assert (await client.get("/orders/MK-1")).json() == {"stage": "on its way"}


async def test_order_posted_twice_is_one_order(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with imported("web_orders") as example:
        calls: list[str] = []
        monkeypatch.setattr(example, "pack", calls.append)
        site = example.Site(Unbroken(f"sqlite:///{tmp_path / 'orders.db'}"))
        async with served(site) as client:
            posts = [client.post("/orders", json=ORDER) for _ in range(5)]
            assert {one.status_code for one in await asyncio.gather(*posts)} == {202}
            await site.orders.completion("MK-1")
        assert calls == ["a book"]


async def test_order_that_was_accepted_goes_on_in_the_next_server(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with imported("web_orders") as example:
        url = f"sqlite:///{tmp_path / 'orders.db'}"
        packing = asyncio.Event()

        async def never(product: str) -> str:
            packing.set()
            await asyncio.Event().wait()
            return product

        async def pack(product: str) -> str:
            return f"a parcel with {product}"

        monkeypatch.setattr(example, "pack", never)
        first = example.Site(Unbroken(url))
        await first.durable.start()
        await first.post_order(httpx.Request("POST", "http://shop", json=ORDER).content)
        await packing.wait()
        await first.durable.stop(grace=timedelta(0))
        monkeypatch.setattr(example, "pack", pack)
        site = example.Site(Unbroken(url))
        async with served(site):
            assert await site.orders.completion("MK-1") == "a parcel with a book"
