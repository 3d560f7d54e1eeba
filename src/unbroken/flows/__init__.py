"""What users write with: declarations, primitives and handles. Stands on the engine."""
