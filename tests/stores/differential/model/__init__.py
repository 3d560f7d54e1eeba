"""A plain model of the store protocol: dictionaries of frozen rows, and rules that read like it.

It is the protocol's executable specification: what `stores/store.py` and `stores/batch.py` say in
words, each rule once, for one caller at a time. Where the words leave a store free (which of two
equally old flows is claimed, in which order queues are served) it asks `Freedom`.
"""
