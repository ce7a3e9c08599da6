"""What any module may need, and what knows of no call."""
