"""Are the queues answered, does beat live, and is nothing left over."""
