"""Values to stored text and back: what comes back is what went in, or a named error says where.

Every value is read back when it is written, so what a flow sees live is what it sees on replay.
"""

from __future__ import annotations

import inspect
from collections.abc import Mapping
from typing import Any, Final, TypeVar, cast

import msgspec

from unbroken.model.errors import ErrorInfo, NotSerializable, PayloadTooLarge

from .arguments import Arguments, CallArguments
from .codec import Codec, Wrapper
from .comparison import Comparison
from .digests import Digests
from .exceptions import Exceptions
from .guard import MAX_DEPTH, check, depth_exceeds
from .known import Known, type_name
from .native import Kept, Native, Plan, is_untyped
from .positions import Positions
from .refusals import advice, is_bare
from .tag_reader import TagReader
from .tag_writer import TagWriter

T = TypeVar("T")

_TAG: Final = '{"$'
_JSON_CONTAINERS: Final = frozenset({list, dict})


class Payload(msgspec.Struct, frozen=True):
    """A value as it is stored."""

    type: str | None
    """The stored name of the value's type, where the annotation alone does not restore it."""
    body: str
    """JSON text; through a codec, a JSON envelope of its output."""


class Serializer:
    """Writes and reads values, arguments and exceptions; one for each engine.

    `limit` bounds each body in bytes, before the codec; `strict` refuses values without annotation.
    """

    def __init__(
        self, *, limit: int = 1_048_576, codec: Codec | None = None, strict: bool = False
    ) -> None:
        self._limit = limit
        self._strict = strict
        self._plain = codec is None
        self._known = Known()
        self._comparison = Comparison()
        self._native = Native(self._known, self._comparison, limit)
        self._encode = self._native.encode
        self._plan = self._native.plan
        writer = TagWriter(self._known, self._native)
        self._reader = TagReader(self._known, self._native)
        self._positions = Positions(self._native, writer, self._reader, self._comparison)
        self._arguments = Arguments(self._positions)
        self._exceptions = Exceptions(writer, self._reader, limit)
        self._wrapper = Wrapper(codec, limit)
        self._digests = Digests(self._known, self._native)

    def know(self, *types: object) -> None:
        """Let stored names stand for the classes found in these annotations."""
        for annotation in types:
            if not self._known.holds(annotation):
                self._known.add(annotation)

    def alias(self, name: str, cls: type[object]) -> None:
        """Let a former stored name stand for a class that was renamed or moved."""
        self._known.alias(name, cls)

    def type_name(self, cls: type[object]) -> str:
        """Give the name under which a class is stored."""
        return type_name(cls)

    def encode(self, value: object, annotation: object = Any, *, key: str = "") -> Payload:
        """Write a value.

        Raises `NotSerializable`, `ValueChanged` or `PayloadTooLarge`.
        """
        return self.round_trip(value, annotation, key=key)[0]

    def round_trip(self, value: T, annotation: object = Any, *, key: str = "") -> tuple[Payload, T]:
        """Write a value and give what reading it answers: an object of its own, but equal.

        Immutable scalars come back as they are. Raises `NotSerializable`, `ValueChanged` or
        `PayloadTooLarge`.
        """
        if self._strict and is_untyped(annotation):
            raise NotSerializable(
                f"no annotation says what this is: annotate `-> {type(value).__name__}`"
            )
        return self._round_trip(value, annotation, key)

    def round_trip_untyped(self, value: T, *, key: str = "") -> tuple[Payload, T]:
        """Do as `round_trip` for what nobody can annotate: its type alone says what it is."""
        return self._round_trip(value, Any, key)

    def class_of(self, name: str) -> type[object] | None:
        """Give the class that a stored name stands for, if it is known or loaded."""
        return self._known.find_anywhere(name)

    def _round_trip(self, value: T, annotation: object, key: str) -> tuple[Payload, T]:
        plan = self._plan(annotation)
        if type(value) in plan.identity:
            if not is_bare(value):
                raise NotSerializable(advice(value))
            text = self._text(self._encode(value), key, is_flat=True)
            return Payload(None, text), value
        try:
            name, kept = self._keep(value, plan)
        except PayloadTooLarge as error:
            raise PayloadTooLarge(error.size, error.limit, key) from None
        return Payload(name, self._text(kept.body, key)), cast("T", kept.value)

    def encode_as_is(self, value: object, *, key: str = "") -> Payload:
        """Write a value by its own type, for readers with any annotation or none.

        Raises like `encode`; strict or not, for nobody could have annotated it.
        """
        self.know(type(value))
        try:
            name, kept = self._keep(value, self._plan(Any))
        except PayloadTooLarge as error:
            raise PayloadTooLarge(error.size, error.limit, key) from None
        return Payload(name, self._text(kept.body, key))

    def decode(self, payload: Payload, annotation: object = Any) -> object:
        """Read a value.

        Raises `DeserializationError` with the path of what does not fit.
        """
        body = self._checked(payload.body)
        if payload.type is None:
            return self._native.decode(body, self._plan(annotation))
        self._plan(annotation)  # its classes become known
        if body.startswith(_TAG):
            return self._reader.read(body)
        return self._native.decode(body, self._plan(self._reader.find(payload.type, "$")))

    def encode_arguments(
        self,
        signature: inspect.Signature,
        args: tuple[object, ...],
        kwargs: Mapping[str, object],
        hints: Mapping[str, object],
        *,
        key: str = "arguments",
    ) -> str:
        """Write the arguments of a flow as a JSON object by parameter name.

        Raises `TypeError` when they do not fit the signature, else like `encode`.
        """
        try:
            body = self._arguments.write(signature, args, kwargs, hints)
        except PayloadTooLarge as error:
            raise PayloadTooLarge(error.size, error.limit, key) from None
        return self._text(body, key)

    def decode_arguments(
        self, signature: inspect.Signature, text: str, hints: Mapping[str, object]
    ) -> CallArguments:
        """Read arguments: each call gives objects of its own; new parameters take their defaults.

        Raises `DeserializationError` with a path such as `$.order.total`.
        """
        return self._arguments.read(signature, self._checked(text), hints)

    def digest(self, args: tuple[object, ...], kwargs: Mapping[str, object]) -> int | None:
        """Give a number that equal arguments share in every process; `None` if they have no form.

        No arguments are 0.
        """
        return self._digests.digest(args, kwargs)

    def encode_exception(self, error: BaseException) -> str:
        """Write an exception; whether its class can be rebuilt is decided here.

        Raises `TypeError` for cancellation, exits and other signals.
        """
        return self._wrapper.wrap(self._exceptions.record(error))

    def rebuild_exception(self, text: str) -> Exception:
        """Give the recorded exception: its own class, or `EffectFailed` if it was recorded so.

        Raises `DeserializationError` if the text is no recorded exception.
        """
        return self._exceptions.rebuild(self._checked(text))

    def error_info(self, text: str) -> ErrorInfo:
        """Give type, message and traceback of a recorded exception.

        Raises `DeserializationError` if the text is no recorded exception.
        """
        return self._exceptions.info(self._checked(text))

    def _keep(self, value: object, plan: Plan) -> tuple[str | None, Kept]:
        """Write by annotation alone, else by the name of the type, else with tags inside."""
        cls = type(value)
        if plan.annotation is not Any or cls in _JSON_CONTAINERS:
            kept = self._native.attempt(value, plan)
            if isinstance(kept, Kept):
                return None, kept
        name = type_name(cls)
        if plan.annotation is not cls and self._known.find(name) is cls:
            plan = self._plan(cls)
            kept = self._native.attempt(value, plan)
            if isinstance(kept, Kept):
                return name, kept
        return name, self._positions.tagged(value, "$", plan.annotation)

    def _text(self, body: bytes, key: str, *, is_flat: bool = False) -> str:
        if len(body) > self._limit:
            raise PayloadTooLarge(len(body), self._limit, key)
        text = body.decode()
        if not is_flat and depth_exceeds(text):
            raise NotSerializable(f"nested deeper than {MAX_DEPTH} levels: keep its parts apart")
        return text if self._plain else self._wrapper.wrap(body)

    def _checked(self, text: str) -> str:
        check(text)
        body = self._wrapper.unwrap(text)
        if body is not text:
            check(body)
        return body
