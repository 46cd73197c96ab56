"""Files: theories in TOML, saved runs, tables of weights and paths."""
