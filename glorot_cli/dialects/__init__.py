"""Dialects: a framework's own layer names, tensor names, axis orders and default initialisers."""
