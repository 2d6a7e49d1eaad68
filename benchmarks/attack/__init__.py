"""Long attacks on the package, each a module with `run(count, seed)` and its outcomes as counts."""
