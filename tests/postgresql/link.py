"""One connection through the proxy: two threads, one for each direction."""

from __future__ import annotations

import socket
import struct
import threading
from collections import deque
from collections.abc import Callable, Iterator
from contextlib import suppress
from typing import Protocol

from tests.postgresql.faults import DONE_BY_SERVER, NEVER_WHOLE, Fault, Strike, Where
from tests.postgresql.wire import (
    CANCEL_REQUEST,
    ERROR,
    GSS_REQUEST,
    IDLE,
    READY,
    REFUSES_ENCRYPTION,
    SSL_REQUEST,
    Frames,
    Message,
    Request,
    Requests,
    start_up_code,
)

CHUNK = 1 << 20
PATIENCE = 5.0
RESET = struct.pack("ii", 1, 0)
# Within a request the client waits for nothing but what a Flush asks for.
WAITS_FOR_MORE = frozenset({b"P", b"B", b"D", b"E", b"C"})


class Network(Protocol):
    """What a connection asks of the network that it is a part of."""

    def travel(self, size: int) -> None:
        """Take the time that so many bytes need."""
        ...

    def fault_for(self, text: str) -> Fault | None:
        """Count a request and say what happens to it."""
        ...

    def struck(self, strike: Strike) -> None:
        """Hear that a fault has happened."""
        ...

    def hold(self, go_on: Callable[[], None]) -> None:
        """Keep something until it is released."""
        ...

    def cancelled(self) -> None:
        """Hear that a client asked for the cancellation of a statement."""
        ...


class Exchange:
    """A request that the server has got or will get, and its answer so far."""

    def __init__(self, request: Request, fault: Fault | None) -> None:
        self.fault = fault
        self.strike = None if fault is None else Strike(fault.where, request.text)
        self.answer = b""
        self.has_committed = True

    def hear(self, message: Message) -> None:
        """Learn from the answer whether it is committed: no error, and no transaction is open."""
        if message.tag == ERROR or (message.tag == READY and message.body != IDLE):
            self.has_committed = False

    @property
    def hides_answer(self) -> bool:
        return self.fault is not None and self.fault.where is not Where.REQUEST_HELD


class Link:
    """A client's connection and the one to the server that belongs to it."""

    def __init__(self, network: Network, client: socket.socket, server: socket.socket) -> None:
        self._network = network
        self._client = client
        self._server = server
        self._requests = Requests()
        self._unsent = b""
        self._waiting: deque[Exchange] = deque()
        self._may_go_on = threading.Event()
        self._is_cut = False
        self._ending = threading.Lock()
        self._running = 2
        self._threads = [
            threading.Thread(target=self._run, args=(work,), daemon=True)
            for work in (self._pass_requests, self._pass_answers)
        ]

    def start(self) -> None:
        for thread in self._threads:
            thread.start()

    def is_open(self) -> bool:
        return any(thread.is_alive() for thread in self._threads)

    def join(self) -> None:
        for thread in self._threads:
            thread.join(PATIENCE)

    def cut(self) -> None:
        """End both connections at once, by a reset."""
        self._is_cut = True
        self._may_go_on.set()
        self._end(self._client)
        self._end(self._server)

    @staticmethod
    def _end(end: socket.socket, *, by_reset: bool = True) -> None:
        with suppress(OSError):
            if by_reset:
                end.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, RESET)
            # A thread that reads here wakes up at a shutdown, not at a close.
            end.shutdown(socket.SHUT_RD if by_reset else socket.SHUT_RDWR)
        end.close()

    def _run(self, work: Callable[[], None]) -> None:
        with suppress(OSError):
            work()
        with self._ending:
            self._running -= 1
            if not self._running:
                self.cut()

    # requests

    def _pass_requests(self) -> None:
        frames = Frames(tagged=False)
        messages = self._messages_from_client(frames)
        if self._greet(frames, messages) and not all(map(self._pass_request, messages)):
            return
        self._network.travel(0)
        self._end(self._server, by_reset=False)

    def _messages_from_client(self, frames: Frames) -> Iterator[Message]:
        while chunk := self._client.recv(CHUNK):
            yield from frames.feed(chunk)

    def _greet(self, frames: Frames, messages: Iterator[Message]) -> bool:
        """Let the start-up pass, without encryption; False if there will be no requests."""
        for message in messages:
            match start_up_code(message):
                case code if code in {SSL_REQUEST, GSS_REQUEST}:
                    self._send(self._client, REFUSES_ENCRYPTION)
                case code if code == CANCEL_REQUEST:
                    self._network.cancelled()
                    self._send(self._server, message.raw)
                    return False
                case _:
                    frames.begin_tags()
                    self._send(self._server, message.raw)
                    return True
        return False

    def _pass_request(self, message: Message) -> bool:
        """Pass a message on when its turn is there; False once the connection is cut."""
        self._unsent += message.raw
        request = self._requests.take(message)
        if not request.is_whole:
            if message.tag not in WAITS_FOR_MORE:
                self._send_request()
            return True
        fault = self._network.fault_for(request.text)
        exchange = Exchange(request, fault)
        if fault is None or fault.where in DONE_BY_SERVER:
            self._waiting.append(exchange)
            self._send_request()
            return True
        return self._strike_request(exchange, fault)

    def _send_request(self) -> None:
        data, self._unsent = self._unsent, b""
        self._send(self._server, data)

    def _strike_request(self, exchange: Exchange, fault: Fault) -> bool:
        strike = exchange.strike
        assert strike is not None
        if fault.where in {Where.REQUEST_HELD, Where.REQUEST_LATE}:
            return self._hold_request(exchange, strike)
        if fault.where in NEVER_WHOLE:
            strike.landed = False
        if fault.where is Where.REQUEST_TORN:
            self._send(self._server, fault.beginning_of(self._unsent))
        if fault.where is Where.IN_FLIGHT:
            self._send_request()
        self._network.struck(strike)
        self._end(self._server, by_reset=False)
        self.cut()
        return False

    def _hold_request(self, exchange: Exchange, strike: Strike) -> bool:
        if strike.where is Where.REQUEST_LATE:
            self._end(self._client)
        if not self._hold(strike):
            return False
        self._waiting.append(exchange)
        self._send_request()
        return strike.where is Where.REQUEST_HELD

    def _hold(self, strike: Strike) -> bool:
        """Wait until the network releases what it holds; False if this connection was cut."""
        self._may_go_on.clear()
        self._network.hold(self._may_go_on.set)
        self._network.struck(strike)
        self._may_go_on.wait()
        return not self._is_cut

    # answers

    def _pass_answers(self) -> None:
        frames = Frames()
        while chunk := self._server.recv(CHUNK):
            passing = b""
            for message in frames.feed(chunk):
                exchange = self._waiting[0] if self._waiting else None
                if exchange is None:
                    passing += message.raw
                    continue
                exchange.hear(message)
                if not exchange.hides_answer:
                    passing += message.raw
                elif not self._keep_answer(exchange, message):
                    return
                if message.tag == READY:
                    self._waiting.popleft()
            if passing:
                self._send(self._client, passing)
        self._network.travel(0)
        self._end(self._client, by_reset=False)

    def _keep_answer(self, exchange: Exchange, message: Message) -> bool:
        """Keep a piece of an answer back; False once it is whole and the connection is cut."""
        exchange.answer += message.raw
        return message.tag != READY or self._strike_answer(exchange)

    def _strike_answer(self, exchange: Exchange) -> bool:
        fault, strike = exchange.fault, exchange.strike
        assert fault is not None
        assert strike is not None
        strike.landed = exchange.has_committed
        if fault.where is Where.ANSWER_HELD:
            if not self._hold(strike):
                return False
            self._send(self._client, exchange.answer)
            return True
        self._network.struck(strike)
        if fault.where is Where.ANSWER_TORN:
            self._send(self._client, fault.beginning_of(exchange.answer))
            self._end(self._client, by_reset=False)
        self.cut()
        return False

    def _send(self, end: socket.socket, data: bytes) -> None:
        self._network.travel(len(data))
        end.sendall(data)
