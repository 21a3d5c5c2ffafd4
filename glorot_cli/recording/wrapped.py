"""The few functions of torch that do otherwise with tensors without memory, stood in for."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator
from typing import TYPE_CHECKING, Any, TypeAlias

import torch
from torch._subclasses.fake_tensor import FakeTensor
from torch.nn import init

from glorot_cli.recording.account import Whole

if TYPE_CHECKING:
    from glorot_cli.recording.watch import Watch

Tensor: TypeAlias = torch.Tensor


@contextlib.contextmanager
def wrapped_initializers(watch: Watch) -> Iterator[None]:
    """Stand in for the two functions that look at values, or take an operation for each column."""
    from glorot_cli.recording.operators import random_call

    def trunc_normal(
        tensor: Tensor, mean: float, std: float, a: float, b: float, generator: Any = None
    ) -> Tensor:
        arguments = {"mean": float(mean), "std": float(std), "a": float(a), "b": float(b)}
        random_call(watch, tensor, "trunc_normal", arguments, generator)
        return tensor

    def sparse(tensor: Tensor, sparsity: float, std: float = 0.01, generator: Any = None) -> Tensor:
        if tensor.ndimension() != 2:
            raise ValueError("Only tensors with 2 dimensions are supported")
        call = random_call(watch, tensor, "normal", {"mean": 0.0, "std": float(std)}, generator)
        rows, columns = tensor.shape
        for _ in range(columns):
            torch.randperm(rows)
        watch.write(tensor, Whole("sparse", call, float(std), float(sparsity)))
        return tensor

    converted: dict[tuple[int, int], tuple[torch.nn.Parameter, Tensor, Any]] = {}

    def apply(module: torch.nn.Module, convert: Any, recurse: bool = True) -> torch.nn.Module:
        # What .half(), .to() and the like do with real tensors; fake ones they cannot swap.
        for child in module.children() if recurse else ():
            child._apply(convert)
        for key, tensor in module._parameters.items():
            if tensor is None:
                continue
            # A parameter that two modules share stays one.
            known = converted.get((id(convert), id(tensor)))
            if known is None:
                with torch.no_grad():
                    made = torch.nn.Parameter(convert(tensor.detach()), tensor.requires_grad)
                known = converted[id(convert), id(tensor)] = made, tensor, convert
            module._parameters[key] = known[0]
        for key, buffer in module._buffers.items():
            if buffer is not None:
                module._buffers[key] = convert(buffer)
        return module

    def deep_copy(tensor: Any, memo: dict[int, Any]) -> Any:
        # Torch's own copies the fake mode too, of which there must be one.
        if id(tensor) not in memo:
            copy = tensor.detach().clone(memory_format=torch.preserve_format)
            if isinstance(tensor, torch.nn.Parameter):
                copy = torch.nn.Parameter(copy, tensor.requires_grad)
            else:
                copy.requires_grad_(tensor.requires_grad)
            for key, value in vars(tensor).items():
                if key not in vars(copy):
                    setattr(copy, key, value)
            memo[id(tensor)] = copy
        return memo[id(tensor)]

    def manual_seed(seed: int) -> torch.Generator:
        watch.reseeded = True
        return torch.default_generator

    kept = init._no_grad_trunc_normal_, init.sparse_
    kept_apply, kept_seed = torch.nn.Module._apply, torch.manual_seed
    torch.nn.Module._apply = apply
    FakeTensor.__deepcopy__ = deep_copy
    torch.manual_seed = torch.random.manual_seed = manual_seed
    init._no_grad_trunc_normal_ = trunc_normal
    init.sparse_ = sparse
    try:
        yield
    finally:
        init._no_grad_trunc_normal_, init.sparse_ = kept
        torch.nn.Module._apply = kept_apply
        del FakeTensor.__deepcopy__
        torch.manual_seed = torch.random.manual_seed = kept_seed
