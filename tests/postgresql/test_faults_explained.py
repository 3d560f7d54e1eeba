"""Everything that the driver raises is explained, none of it escapes."""

import asyncpg
import pytest

from unbroken.model.errors import OutcomeUnknown, StoreUnavailable
from unbroken.stores.postgresql.faults import Complaint, ends_connection, explain

LOST = [
    asyncpg.InternalClientError("another operation is in progress"),
    asyncpg.InterfaceError("the connection is closed"),
    asyncpg.ConnectionDoesNotExistError("closed in the middle"),
    ConnectionResetError(),
    TimeoutError(),
]


@pytest.mark.parametrize("error", LOST, ids=lambda one: type(one).__name__)
def test_a_lost_connection_leaves_a_write_unknown_and_a_read_to_be_tried_again(
    error: Exception,
) -> None:
    assert isinstance(error, Complaint)
    assert ends_connection(error)
    assert isinstance(explain(error), StoreUnavailable)
    assert isinstance(explain(error, may_have_landed=True), OutcomeUnknown)
