"""What the tests of backfills share."""

from postgresql_server import postgresql, postgresql_database

__all__ = ["postgresql", "postgresql_database"]
