"""The spec: what a user wrote, with the position of every value."""

from glorot_cli.spec.model import Spec, load_spec, read_source

__all__ = ["Spec", "load_spec", "read_source"]
