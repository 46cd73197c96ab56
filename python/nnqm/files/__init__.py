"""Files: theories in TOML, saved runs, arrays of weights and paths."""
