"""The torch dialect (torch 2.13): torch.nn's modules, with the names of `state_dict()`."""
