"""What hears of a search as it runs: the store, Prometheus, the watchdog."""
