"""From a gateway into a sink: backfill, sync, verify, prune, and pushed calls."""
