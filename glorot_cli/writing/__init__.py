"""Writing a plan: blocks into a file, shards by one process or many, tensors kept from a base."""
