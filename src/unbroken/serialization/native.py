"""Values whose annotation alone restores them: JSON through msgspec, checked by reading it back."""

from __future__ import annotations

import inspect
import types
import typing
from typing import Any, Final, NamedTuple, Union
from uuid import UUID

import msgspec

from unbroken.model.errors import DeserializationError, PayloadTooLarge

from .classes import hides_fields
from .comparison import Comparison, Difference
from .known import Known
from .misfits import misfit, show
from .pydantic_models import PydanticModels
from .scalars import SCALARS

TAG: Final = b'{"$'
"""No native form starts like this: it announces a tagged value (or a codec's envelope)."""

_PLANS_LIMIT: Final = 10_000
_UNTYPED: Final = frozenset({str, int, bool, type(None), float})
_SELF_TYPED: Final = _UNTYPED | {UUID}


class Kept(NamedTuple):
    """A body, and the value that was read back from it."""

    body: bytes
    value: object


class Plan:
    """How values under one annotation are read, and whether they may be written."""

    __slots__ = ("annotation", "decoder", "identity", "writes")

    def __init__(
        self,
        annotation: object,
        decoder: msgspec.json.Decoder[Any] | None = None,
        identity: frozenset[type] = frozenset(),
        *,
        writes: bool = False,
    ) -> None:
        self.annotation = annotation
        self.decoder = decoder
        self.identity = identity
        """Classes of immutable values that certainly come back as they are."""
        self.writes = writes


class Native:
    """Reads and writes by annotation alone; plans are made once for each annotation."""

    def __init__(self, known: Known, comparison: Comparison, limit: int) -> None:
        self._known = known
        self._limit = limit
        self._comparison = comparison
        self._pydantic = PydanticModels()
        self._plans: dict[object, Plan] = {}
        self.encode = msgspec.json.Encoder(enc_hook=self._write).encode
        self.encode_ordered = msgspec.json.Encoder(
            enc_hook=self._write, order="deterministic"
        ).encode

    def plan(self, annotation: object) -> Plan:
        """Give the plan of an annotation; its classes become known."""
        try:
            plan = self._plans.get(annotation)
        except TypeError:  # an annotation that cannot be hashed
            return self._make(annotation)
        if plan is None:
            if len(self._plans) >= _PLANS_LIMIT:
                self._plans.clear()
            plan = self._plans[annotation] = self._make(annotation)
        return plan

    def attempt(self, value: object, plan: Plan) -> Kept | Difference | None:
        """Write and read back; a difference or `None` says that it cannot be kept this way.

        Raises `PayloadTooLarge`, before anything is read back.
        """
        if plan.decoder is None or not plan.writes:
            return None
        try:
            body = self.encode(value)
        except Exception:  # noqa: BLE001 - a user's class may raise anything; tags tell what is wrong
            return None
        if len(body) > self._limit:
            raise PayloadTooLarge(len(body), self._limit)
        if body.startswith(TAG):
            return None
        try:
            decoded = plan.decoder.decode(body)
            return self._comparison.difference(value, decoded) or Kept(body, decoded)
        except Exception:  # noqa: BLE001 - likewise
            return None

    def decode(self, body: bytes | str | msgspec.Raw, plan: Plan, path: str = "$") -> object:
        """Read a body by annotation.

        Raises `DeserializationError` with the path of what does not fit.
        """
        if plan.decoder is None:
            return self._decode_member(body, plan.annotation, path)
        try:
            return plan.decoder.decode(body)
        except Exception as error:  # noqa: BLE001 - a user's __post_init__ may raise anything
            raise misfit(error, plan.annotation, path) from None

    def _decode_member(
        self, body: bytes | str | msgspec.Raw, annotation: object, path: str
    ) -> object:
        """Read what was stored before the annotation became a union that JSON cannot tell apart."""
        first: list[object] = []
        text = bytes(body) if isinstance(body, msgspec.Raw) else body
        for member in _members(annotation):
            plan = self.plan(member)
            if plan.decoder is None:
                continue
            try:
                value = plan.decoder.decode(body)
                if self.encode(value) == (text.encode() if isinstance(text, str) else text):
                    return value
            except Exception:  # noqa: BLE001, S112 - the next member may fit
                continue
            first.append(value)
        if first:
            return first[0]
        raise DeserializationError(
            f"the stored data fits no part of {show(annotation)}",
            path,
            expected=show(annotation),
            found="JSON without a type name",
        )

    def _make(self, annotation: object) -> Plan:
        if is_untyped(annotation) and annotation is not Any:
            return self.plan(Any)
        classes = self._known.add(annotation)
        try:
            decoder = msgspec.json.Decoder(annotation, dec_hook=self._read)
        except Exception:  # noqa: BLE001 - resolving annotations runs whatever the user wrote there
            return Plan(annotation)
        if annotation is Any:
            return Plan(annotation, decoder, _UNTYPED, writes=True)
        members = [type(None) if member is None else member for member in _members(annotation)]
        identity = frozenset(cls for cls in _SELF_TYPED if cls in members)
        return Plan(annotation, decoder, identity, writes=not any(map(hides_fields, classes)))

    def _write(self, value: object) -> object:
        scalar = SCALARS.get(type(value))
        if scalar is not None:
            return scalar.write(value)
        if self._pydantic.owns(type(value)):
            return self._pydantic.write(value)
        raise NotImplementedError(type(value))

    def _read(self, annotation: object, raw: object) -> object:
        if not isinstance(annotation, type):
            raise NotImplementedError(show(annotation))
        scalar = SCALARS.get(annotation)
        if scalar is not None:
            if isinstance(raw, str):
                return scalar.read(raw)
            raise ValueError(f"Expected `str`, got `{type(raw).__name__}`")
        if self._pydantic.owns(annotation):
            return self._pydantic.read(annotation, raw)
        raise ValueError(f"{show(annotation)} is no data class")


def is_untyped(annotation: object) -> bool:
    """Say whether an annotation says nothing of the value."""
    return annotation is Any or annotation is object or annotation is inspect.Parameter.empty


def _members(annotation: object) -> tuple[object, ...]:
    if typing.get_origin(annotation) in {Union, types.UnionType}:
        return typing.get_args(annotation)
    return (annotation,)
