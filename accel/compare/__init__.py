"""Compare what tracing costs: one command under every mechanism."""
