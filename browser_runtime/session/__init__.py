"""One browser, its page and lanes, and the models loaded in them."""
