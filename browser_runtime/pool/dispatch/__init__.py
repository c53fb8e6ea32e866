"""From a waiting request to a lane, and its reply or its error back."""
