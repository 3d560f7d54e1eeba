"""Values to stored text and back, by type hints; knows the model and no database."""
