"""What each transaction does, one statement after another: the same for every SQL database."""
