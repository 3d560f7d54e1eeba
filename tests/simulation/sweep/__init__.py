"""Every operation of the store, and every fault at it: no chance, one run for each of them."""
