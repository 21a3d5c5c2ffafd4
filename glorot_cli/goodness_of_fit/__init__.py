"""Tests of a tensor's elements against distributions: known ones, or the one that a spec states."""
