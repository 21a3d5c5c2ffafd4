"""Tests against the frameworks themselves, whose files may be named as those of the plain suite."""
