"""What the tests of backfills share."""

from postgresql_server import fresh_postgresql, postgresql, postgresql_database

__all__ = ["fresh_postgresql", "postgresql", "postgresql_database"]
