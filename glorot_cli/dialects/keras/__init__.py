"""The Keras dialect (Keras 3.15)."""
