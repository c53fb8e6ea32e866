"""Flower with added pages: browsers, queues and scaling, performance."""
