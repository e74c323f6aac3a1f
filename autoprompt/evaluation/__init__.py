"""What scores mean: tables, warnings, finalists, held-out texts, other data."""
