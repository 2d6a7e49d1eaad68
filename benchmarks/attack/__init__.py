"""Long measurements under hostile input, each a module with `run(count, seed)` and outcomes as counts."""
