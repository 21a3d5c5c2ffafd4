"""Pictures of tensors and of gains."""
