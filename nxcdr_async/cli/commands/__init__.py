"""The commands as typer sees them: options and help. They import nothing heavy until they run."""
