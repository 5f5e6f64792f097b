"""Running a user's own model once, and leaving it as it was."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import torch
from torch import Tensor, nn

_OWN = ("_parameters", "_buffers", "_modules")


@contextmanager
def as_it_was(model: nn.Module) -> Iterator[None]:
    """Evaluation mode and no gradients inside; afterwards every mode, buffer and attribute as before.

    Attributes that are lists, dicts or sets get their contents of before back; what a forward changes elsewhere (a
    file, a global list) it has changed.
    """
    before = [_Snapshot(module) for module in model.modules()]
    try:
        for module in model.modules():
            module.training = False
        with torch.no_grad():
            yield
    finally:
        for snapshot in before:
            snapshot.restore()


class _Snapshot:
    """Attributes, buffers and mode of one module."""

    def __init__(self, module: nn.Module) -> None:
        self._module = module
        self._attributes = dict(vars(module))
        self._contents = {
            name: _contents(value) for name, value in self._attributes.items() if name not in _OWN
        }
        self._buffers = dict(module._buffers)
        self._values = {name: _kept(value) for name, value in self._tensors().items()}

    def _tensors(self) -> dict[str, Tensor]:
        tensors = {**self._buffers, **self._attributes}
        return {name: value for name, value in tensors.items() if isinstance(value, Tensor)}

    def restore(self) -> None:
        own = vars(self._module)
        for name in set(own) - set(self._attributes):
            del own[name]
        own.update(self._attributes)
        own["_buffers"].clear()
        own["_buffers"].update(self._buffers)
        for name, saved in self._contents.items():
            _put_back(self._attributes[name], saved)
        with torch.no_grad():
            for name, tensor in self._tensors().items():
                version, value = self._values[name]
                if version is None or tensor._version != version:
                    tensor.data.copy_(value)


def _kept(tensor: Tensor) -> tuple[int | None, Tensor]:
    """Version and value of a tensor; an inference tensor counts no versions."""
    return (None if tensor.is_inference() else tensor._version), tensor.detach().clone()


def _contents(value: Any) -> Any:
    """A shallow copy of a container, None of anything else."""
    return value.copy() if type(value) in (list, dict, set) else None


def _put_back(container: Any, saved: Any) -> None:
    if saved is None:
        return
    if isinstance(container, list):
        container[:] = saved
    else:
        container.clear()
        container.update(saved)
