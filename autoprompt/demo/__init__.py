"""A first search on a real model and real texts, which come from the package index."""
