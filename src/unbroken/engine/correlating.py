"""Correlation ids: a flow registers one, and messages for that id reach every flow that did.

The registration and its record share a transaction. It ends with the flow, or when it is taken
back.
"""

from __future__ import annotations

import asyncio
from collections.abc import Sequence

import msgspec

from unbroken.engine.cancelling import heed_cancel
from unbroken.engine.scope import Scope
from unbroken.engine.services import Services
from unbroken.engine.waits import arrive
from unbroken.engine.writing import write_together
from unbroken.model.records import Effect, FlowRef, Kind
from unbroken.stores.batch import Correlate, Record


async def change_correlation(scope: Scope, key: str, correlation: str, *, remove: bool) -> None:
    """Register the flow under a correlation id or take that back; done once, whatever comes."""
    incarnation = scope.incarnation
    await arrive(scope, key)
    if incarnation.recorded(key, Kind.CORRELATION) is not None:
        return
    await heed_cancel(scope, key)
    flow, number = incarnation.flow, incarnation.number
    body = msgspec.json.encode(correlation).decode()
    effect = Effect(key, Kind.CORRELATION, body, incarnation=number)
    record = Record(flow.number, number, effect)
    try:
        await write_together(incarnation, record, Correlate(flow, number, correlation, remove))
    except asyncio.CancelledError:
        await incarnation.cut(key)
        raise


async def find_correlated(
    services: Services, types: Sequence[str], correlation: str
) -> list[FlowRef]:
    """Find the flows of these types, live or parked, that registered a correlation id."""
    services.rest.begin()
    try:
        pages = [await services.store.correlated(one, correlation) for one in types]
    finally:
        services.rest.end()
    return sorted((flow for page in pages for flow in page), key=lambda flow: flow.number)
