"""Torch watched while it builds a module: every operation, on tensors that take no memory."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator
from typing import Any, TypeAlias

import torch
from torch._subclasses.fake_tensor import FakeTensor, FakeTensorMode
from torch.overrides import TorchFunctionMode
from torch.utils._python_dispatch import TorchDispatchMode, _disable_current_modes

from glorot_cli.errors import GlorotError
from glorot_cli.recording.account import (
    LARGEST_KNOWN,
    NOTHING,
    Call,
    Constant,
    Known,
    Opaque,
    Region,
    Storage,
    Value,
    Whole,
)

Tensor: TypeAlias = torch.Tensor


class Extent:
    """Tell how a tensor lies in its storage: the range of its elements, if they fill one."""

    def __init__(self, tensor: Tensor) -> None:
        self.offset = int(tensor.storage_offset())
        self.shape = tuple(map(int, tensor.shape))
        self.strides = tuple(map(int, tensor.stride()))
        self.count = int(tensor.numel())
        axes = [axis for axis in range(len(self.shape)) if self.shape[axis] > 1]
        # From the slowest to the fastest axis.
        self.order = tuple(sorted(axes, key=lambda axis: (-self.strides[axis], axis)))
        size = 1
        self.is_dense = True
        for axis in reversed(self.order):
            self.is_dense = self.is_dense and self.strides[axis] == size
            size *= self.shape[axis]
        self.is_contiguous = self.is_dense and self.order == tuple(sorted(self.order))

    @property
    def stop(self) -> int:
        """The element after the last of a dense tensor."""
        return self.offset + self.count

    def span(self) -> tuple[int, int]:
        """Return the range within which all elements lie."""
        if not self.count:
            return self.offset, self.offset
        reach = sum((n - 1) * s for n, s in zip(self.shape, self.strides, strict=True))
        return self.offset, self.offset + reach + 1


class Watch:
    """Keep the account of all storages, and the random calls in their order."""

    def __init__(self) -> None:
        self.calls: list[Call] = []
        self.storages: dict[int, Storage] = {}
        # Whether the module seeds torch itself, so that its draws follow from no seed of ours.
        self.reseeded = False
        self._stand_ins: dict[int, tuple[Tensor, Tensor]] = {}

    def storage(self, tensor: Tensor) -> Storage:
        """Return the account of a tensor's storage; a real one is known as it stands."""
        kept = tensor.untyped_storage()
        found = self.storages.get(kept._cdata)
        if found is None:
            size = kept.nbytes() // tensor.element_size()
            found = self.storages[kept._cdata] = Storage(tensor, size)
        return found

    def without_memory(self, each: Any) -> Any:
        """Return a fake tensor in the place of a real one, and anything else as it is."""
        if not isinstance(each, torch.Tensor) or isinstance(each, FakeTensor):
            return each
        if each.device.type != "cpu" or each.layout != torch.strided:
            return each
        if id(each) not in self._stand_ins:
            fake = torch.ops.aten.empty_strided.default(
                list(each.shape), list(each.stride()), dtype=each.dtype, device=each.device
            )
            with _disable_current_modes(), torch.no_grad():
                copy = each.detach().clone(memory_format=torch.preserve_format)
            extent = Extent(copy)
            if extent.is_dense:
                self.write(fake, Known(in_memory_order(copy)))
            self._stand_ins[id(each)] = each, fake
        return self._stand_ins[id(each)][1]

    def key(self, tensor: Tensor) -> int:
        """Return what tells a storage from others."""
        self.storage(tensor)
        return int(tensor.untyped_storage()._cdata)

    def read(self, tensor: Tensor) -> list[Region]:
        """Return what a tensor holds, in the order of its memory."""
        extent = Extent(tensor)
        start, stop = (extent.offset, extent.stop) if extent.is_dense else extent.span()
        found = self.storage(tensor).read(start, stop)
        if extent.is_dense or (len(found) == 1 and isinstance(found[0].value, Constant)):
            return found
        if (known := self.known(tensor)) is not None:
            return [Region(0, known.numel(), Known(known.reshape(-1)))]
        if len(found) == 1 and isinstance(found[0].value, Whole):
            return found
        return [Region(0, extent.count, _opaque("a strided view", found))]

    def value(self, tensor: Tensor) -> Value:
        """Return the one value that a tensor holds."""
        found = self.read(tensor)
        if not found:
            return Constant(0.0)
        if len(found) == 1:
            return found[0].value
        if (known := self.known(tensor)) is not None:
            return Known(in_memory_order(known))
        return _opaque("parts", found)

    def write(self, tensor: Tensor, value: Value) -> None:
        """Note that a tensor holds a value now."""
        extent, storage = Extent(tensor), self.storage(tensor)
        if extent.is_dense:
            storage.write(extent.offset, extent.stop, value)
            return
        if isinstance(value, Constant | Known) and self._write_known(tensor, value):
            return
        before = storage.read(*extent.span())
        storage.write(*extent.span(), _opaque("a strided write", [*before, Region(0, 1, value)]))

    def _write_known(self, tensor: Tensor, value: Constant | Known) -> bool:
        """Write into a few known elements among others that are known."""
        storage, extent = self.storage(tensor), Extent(tensor)
        if storage.size > LARGEST_KNOWN:
            return False
        flat = _flat(storage.read(0, storage.size), storage.size, tensor.dtype)
        if flat is None:
            return False
        with _disable_current_modes(), torch.no_grad():
            part = flat.as_strided(extent.shape, extent.strides, extent.offset)
            if isinstance(value, Constant):
                part.fill_(value.number)
            else:
                given = value.values[value.first : value.first + extent.count]
                part.copy_(given.reshape(extent.shape))
        storage.write(0, storage.size, Known(flat))
        return True

    def known(self, tensor: Tensor) -> Tensor | None:
        """Return a tensor's values for real, if chance has no part in them."""
        if not isinstance(tensor, FakeTensor) and tensor.device.type == "cpu":
            return tensor
        extent = Extent(tensor)
        start, stop = extent.span()
        if stop - start > LARGEST_KNOWN:
            return None
        flat = _flat(self.storage(tensor).read(start, stop), stop - start, tensor.dtype)
        if flat is None:
            return None
        with _disable_current_modes():
            return flat.as_strided(extent.shape, extent.strides, 0)


def in_memory_order(tensor: Tensor) -> Tensor:
    """Return a real tensor's elements as they lie in memory."""
    extent = Extent(tensor)
    with _disable_current_modes():
        if extent.is_dense:
            return tensor.as_strided((extent.count,), (1,), extent.offset)
        return tensor.reshape(-1)


def _opaque(what: str, regions: list[Region]) -> Opaque:
    operations = [what]
    calls: list[Call] = []
    for region in regions:
        value = region.value
        if isinstance(value, Opaque):
            operations += value.operations
            calls += value.calls
        elif not isinstance(value, Constant | Known):
            calls.append(value.call)
    return Opaque(tuple(dict.fromkeys(operations))[:6], tuple(dict.fromkeys(calls)))


def _flat(regions: list[Region], size: int, dtype: torch.dtype) -> Tensor | None:
    """Return a fresh flat tensor of regions that are all known."""
    # What was never written is whatever the memory held: no value for anything.
    if not all(isinstance(region.value, Constant | Known) for region in regions):
        return None
    with _disable_current_modes(), torch.no_grad():
        flat = torch.zeros(size, dtype=dtype)
        for region in regions:
            value, part = region.value, flat[region.start : region.stop]
            if isinstance(value, Constant):
                part.fill_(value.number)
            elif isinstance(value, Known):
                part.copy_(value.values[value.first : value.first + part.numel()])
    return flat


class _Operations(TorchDispatchMode):  # type: ignore[misc]
    """Pass every operation on to the table of operators, and then to the fake tensors."""

    def __init__(self, watch: Watch) -> None:
        super().__init__()
        self.watch = watch

    def __torch_dispatch__(
        self, func: Any, types: Any, args: tuple[Any, ...] = (), kwargs: Any = None
    ) -> Any:
        from glorot_cli.recording.operators import operate

        return operate(self.watch, func, args, kwargs or {})


class _Functions(TorchFunctionMode):  # type: ignore[misc]
    """Answer the few calls that look at a tensor's memory."""

    def __init__(self, watch: Watch) -> None:
        super().__init__()
        self.watch = watch

    def __torch_function__(
        self, func: Any, types: Any, args: tuple[Any, ...] = (), kwargs: Any = None
    ) -> Any:
        kwargs = kwargs or {}
        name = getattr(func, "__name__", "")
        if name in ("numpy", "tolist", "__array__", "__index__") and args:
            tensor = args[0]
            if isinstance(tensor, torch.Tensor):
                known = self.watch.known(tensor)
                if known is None:
                    raise GlorotError(
                        f"the module reads the values of a random tensor ({name}) while it is "
                        "built, and what it does with them cannot be watched"
                    )
                with _disable_current_modes():
                    return getattr(known.detach(), name)(*args[1:], **kwargs)
        return func(*args, **kwargs)


@contextlib.contextmanager
def watching() -> Iterator[Watch]:
    """Watch all that torch does within."""
    from glorot_cli.recording.wrapped import wrapped_initializers

    watch = Watch()
    fake = FakeTensorMode(allow_non_fake_inputs=True)
    with wrapped_initializers(watch), fake, _Functions(watch), _Operations(watch):
        yield watch


__all__ = ["NOTHING", "Extent", "Watch", "in_memory_order", "watching"]
