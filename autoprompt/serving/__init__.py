"""Searches behind HTTP, on Ray Serve: one frozen model, many tasks, batches that mix them."""
