"""A folder of files as a sink."""
