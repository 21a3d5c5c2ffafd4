"""What a start does to activations and gradients through the depth of a network."""
