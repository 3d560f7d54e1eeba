"""Tools for tests of flows: public, and used by our own tests."""

from unbroken.testing.clock import VirtualClock

__all__ = ["VirtualClock"]
