"""Streams: where random words come from, and how an element is made of its word."""
