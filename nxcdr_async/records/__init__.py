"""What users get: the records, and the shapes they can be put into."""
