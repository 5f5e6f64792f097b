"""A private copy of a module: in evaluation mode, in the precision of the computation, nobody else's."""

from __future__ import annotations

import copy
import warnings
from collections.abc import Callable, Iterator
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn.modules import module as torch_module

from aelle.modules.errors import ModuleError, SideEffectWarning
from aelle.words import first_line

_COMPLEX = {torch.float64: torch.complex128, torch.float32: torch.complex64}


def cast(tensor: Tensor, dtype: torch.dtype) -> Tensor:
    """The tensor in a real precision, or the complex one of that size; whole numbers and booleans as they are."""
    if tensor.is_complex():
        return tensor.to(_COMPLEX[dtype])
    return tensor.to(dtype) if tensor.is_floating_point() else tensor


def private_copy(module: nn.Module, dtype: torch.dtype) -> Any:
    """Copy a module, in evaluation mode, without gradients, everything in it in `dtype`.

    Raises:
        ModuleError: where it cannot be copied.
    """
    memo: dict[int, Any] = {}
    for sub in module.modules():
        for tensor in _tensors(list(vars(sub).values())):
            if (
                not tensor.is_leaf
            ):  # a derived weight, as old-style weight_norm keeps it: deepcopy refuses these
                memo[id(tensor)] = tensor.detach().clone()
    try:
        with torch.random.fork_rng(devices=[]):
            own = copy.deepcopy(module, memo)
    except Exception as error:
        raise ModuleError(
            f"{type(module).__name__} cannot be copied ({first_line(error)}), and aelle never runs a user's own module "
            "in another precision; measure a DrivenMap of its step"
        ) from error
    for sub in own.modules():
        for name, value in list(vars(sub).items()):
            if isinstance(value, Tensor):
                vars(sub)[name] = cast(value.detach(), dtype)
    own._apply(lambda tensor: cast(tensor, dtype))
    for sub in own.modules():
        sub.training = False
    for parameter in own.parameters():  # a script module has no requires_grad_
        parameter.requires_grad_(False)
    return own


def _tensors(values: list[Any]) -> Iterator[Tensor]:
    for value in values:
        if isinstance(value, Tensor):
            yield value
        elif isinstance(value, list | tuple):
            yield from _tensors(list(value))


def hooks_of(module: nn.Module) -> list[str]:
    """Names of the user's hooks that a call of the module would fire; torch's own (weight_norm, prune) do no harm."""
    found = []
    shared = (torch_module._global_forward_hooks, torch_module._global_forward_pre_hooks)
    for sub in module.modules():
        for hooks in (sub._forward_hooks, sub._forward_pre_hooks):
            found += [hook for hook in hooks.values() if not _torchs_own(hook)]
    found += [hook for hooks in shared for hook in hooks.values()]
    return [getattr(hook, "__qualname__", type(hook).__name__) for hook in found]


def _torchs_own(hook: Any) -> bool:
    return type(hook).__module__.startswith("torch.nn.utils")


def warn_of_hooks(module: nn.Module) -> None:
    """Say that the user's hooks run while the module is measured."""
    hooks = hooks_of(module)
    if hooks:
        warnings.warn(
            f"forward hooks of {type(module).__name__} run while it is measured: {', '.join(sorted(set(hooks)))}",
            SideEffectWarning,
            stacklevel=2,
        )


def warn_of_training(module: nn.Module, evaluate: Callable[[Any], Tensor], dtype: torch.dtype) -> None:
    """Say that a module in training mode would do something else (dropout, batch statistics) than what is measured."""
    if not any(sub.training for sub in module.modules()):
        return
    own, training = private_copy(module, dtype), private_copy(module, dtype)
    for sub, like in zip(training.modules(), module.modules(), strict=True):
        sub.training = like.training
    with torch.no_grad(), torch.random.fork_rng(devices=[]):
        expected = evaluate(own)
        try:
            found = evaluate(training)
        except (RuntimeError, ValueError):
            found = expected * torch.nan
    if found.shape != expected.shape or not torch.allclose(found, expected, rtol=1e-6, atol=1e-8):
        warnings.warn(
            f"{type(module).__name__} is in training mode, where it draws noise or takes batch statistics; its spectrum is "
            "that of evaluation mode",
            SideEffectWarning,
            stacklevel=2,
        )
