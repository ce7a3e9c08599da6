"""From pages to one stream of records: in order, each once, and complete."""
