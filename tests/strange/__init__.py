"""Replies that no gateway should send, from a real server whose every byte a test decides."""
