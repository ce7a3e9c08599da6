"""A PostgreSQL database as a sink."""
