"""The runtime. It knows the Store protocol and a callable, never a decorator or a driver."""
