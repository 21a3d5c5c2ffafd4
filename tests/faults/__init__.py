"""Faults made on purpose: runs that are killed, and what they leave."""
