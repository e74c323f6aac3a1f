"""Intervals and significance: pure numbers."""
