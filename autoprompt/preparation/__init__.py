"""Everything that is read, checked and fixed before a search starts."""
