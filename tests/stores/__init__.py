"""What every store must do, whatever its database; what only one does is in its own folder."""
