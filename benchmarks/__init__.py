"""What a trial costs, beside what a user would run instead. `make bench` runs all of it."""
