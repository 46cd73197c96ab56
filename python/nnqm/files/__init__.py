"""Files: theories in TOML, arrays of weights and paths."""
