"""The commands as typer sees them: options and help. Rich, DuckDB and the emulator wait until one runs."""
