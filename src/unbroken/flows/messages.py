"""Messages from outside into a flow's inbox."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Sequence

import msgspec

from unbroken.engine.engine import Engine
from unbroken.engine.flow_type import FlowType
from unbroken.engine.services import Services
from unbroken.flows.former_names import stored_type
from unbroken.model.errors import NotSerializable
from unbroken.model.ids import check_id
from unbroken.model.records import Delivery
from unbroken.stores.batch import NewMessage


class Envelope(msgspec.Struct, frozen=True):
    """A message, the id of the flow it goes to, and its idempotency key."""

    id: str
    message: object
    key: str | None = None


class MessageWriter:
    """Appends to one flow's inbox."""

    def __init__(self, engine: Callable[[], Engine], flow_type: FlowType, id: str) -> None:
        self._engine = engine
        self._type = flow_type
        self._id = id

    async def append(self, message: object, /, *, key: str | None = None) -> Delivery:
        """Put a message into the inbox; equal keys are one message while the flow exists."""
        engine = self._engine()
        return await _send(engine, self._type, self._id, to_message(engine, message, key))

    @staticmethod
    async def send_many(
        engine: Engine, flow_type: FlowType, envelopes: Sequence[Envelope]
    ) -> list[Delivery]:
        """Send messages to many flows; all are checked before the first is written."""
        prepared = [
            (check_id(one.id), to_message(engine, one.message, one.key)) for one in envelopes
        ]
        return await asyncio.gather(
            *(_send(engine, flow_type, id, message) for id, message in prepared)
        )


async def _send(engine: Engine, flow_type: FlowType, id: str, message: NewMessage) -> Delivery:
    stored = await stored_type(engine, flow_type, id)
    (delivery,) = await engine.append(stored, id, [message])
    return delivery


def to_message(engine: Engine, message: object, key: str | None) -> NewMessage:
    """Encode a message; it has a key before the first try, so that it can be sent again."""
    return encode_message(engine.services, message, key)


def encode_message(services: Services, message: object, key: str | None) -> NewMessage:
    """Encode a message for an engine's parts, as `to_message` does."""
    if message is None:
        raise NotSerializable("a message must not be None: send an object that says what happened")
    payload, _ = services.serializer.round_trip(message, type(message))
    own = f"={check_id(key, 'message key')}" if key is not None else f"+{services.random.new_id()}"
    name = payload.type or services.serializer.type_name(type(message))
    return NewMessage(own, name, payload.body)
