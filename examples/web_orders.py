"""A web service that stores an order before it says so, and shows where the order is.

    uvicorn --app-dir examples web_orders:site          or any other ASGI server
    curl -d '{"id": "MK-1", "product": "a book"}' localhost:8000/orders
    curl localhost:8000/orders/MK-1

A plain ASGI function, so that it needs no framework. In FastAPI the two lines that start and stop
the app stand in the lifespan, and `post_order` and `get_order` are its handlers. Kill the server
(kill -9) after a 202 and start it again: the order goes on. Two posts with one id are one order.
The database is in the current folder, or in $EXAMPLE_FOLDER.
"""

import asyncio
import os
from collections.abc import Awaitable, Callable, MutableMapping
from pathlib import Path
from typing import Any

import msgspec

from unbroken import Flows, Unbroken, capture, current_flow, flow

FOLDER = Path(os.environ.get("EXAMPLE_FOLDER", "."))
SECONDS = float(os.environ.get("EXAMPLE_SECONDS", "1"))  # how long packing takes

Event = MutableMapping[str, Any]
Receive = Callable[[], Awaitable[Event]]
Send = Callable[[Event], Awaitable[None]]


class Order(msgspec.Struct):
    """What the customer asks for."""

    id: str
    product: str


class Progress(msgspec.Struct):
    """What the customer may know."""

    stage: str


# --- the flow


@flow
async def order_flow(order: Order) -> str:
    """Pack the order, and let the customer see it."""
    await current_flow().publish(Progress("packing"))
    parcel = await capture(pack, order.product)
    await current_flow().publish(Progress("on its way"))
    return parcel


async def pack(product: str) -> str:
    """Stand for the people in the warehouse."""
    await asyncio.sleep(SECONDS)
    return f"a parcel with {product}"


# --- the handlers


class Site:
    """The web service: an ASGI application."""

    def __init__(self, durable: Unbroken) -> None:
        self.durable = durable  # nothing connects before the server starts it
        self.orders: Flows[[Order], str] = durable.register(order_flow)

    async def post_order(self, body: bytes) -> tuple[int, object]:
        """Store the order. After a 202 it is safe, whatever happens to this process."""
        order = msgspec.json.decode(body, type=Order)
        await self.orders.schedule(order.id, order)
        return 202, {"id": order.id}

    async def get_order(self, order_id: str) -> tuple[int, object]:
        """Show what the order published last."""
        progress = await self.orders.state(order_id, Progress)
        return (404, {}) if progress is None else (200, progress)

    async def __call__(self, scope: Event, receive: Receive, send: Send) -> None:
        """Answer one request, or begin and end with the server."""
        if scope["type"] == "lifespan":
            await self.live(receive, send)
            return
        match scope["method"], scope["path"].strip("/").split("/"):
            case "POST", ["orders"]:
                status, answer = await self.post_order(await body_of(receive))
            case "GET", ["orders", order_id]:
                status, answer = await self.get_order(order_id)
            case _:
                status, answer = 404, {}
        headers = [(b"content-type", b"application/json")]
        await send({"type": "http.response.start", "status": status, "headers": headers})
        await send({"type": "http.response.body", "body": msgspec.json.encode(answer)})

    async def live(self, receive: Receive, send: Send) -> None:
        """Start with the server and stop with it; a stop hands the flows over."""
        await receive()
        await self.durable.start()
        await send({"type": "lifespan.startup.complete"})
        await receive()
        await self.durable.stop()
        await send({"type": "lifespan.shutdown.complete"})


async def body_of(receive: Receive) -> bytes:
    """Read the whole body of a request."""
    body, more = b"", True
    while more:
        event = await receive()
        body += event.get("body", b"")
        more = event.get("more_body", False)
    return body


site = Site(Unbroken(f"sqlite:///{FOLDER / 'web_orders.db'}"))
