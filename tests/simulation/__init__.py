"""The real engine in a simulated world: one thread, virtual time, chosen faults, one seed a run."""
