"""Searches as jobs on a Ray cluster."""
