"""Random sequences of requests, equal on every store and on a plain model of the protocol."""
