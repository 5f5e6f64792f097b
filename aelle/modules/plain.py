"""Modules of torch.nn in which nothing but torch's own kernel runs, told by what they are made of, without a call."""

from __future__ import annotations

from typing import Any

from torch import nn
from torch.nn.modules import module as torch_module

PLAIN = (nn.RNN, nn.GRU, nn.LSTM, nn.RNNCell, nn.GRUCell, nn.LSTMCell)
_FORWARDS = {kind: kind.forward for kind in PLAIN}  # torch's own, should anybody put another in its place
_MODES = {"tanh": "RNN_TANH", "relu": "RNN_RELU"}


def is_plain(module: nn.Module) -> bool:
    """Whether nothing but torch's own kernel runs, with the module's parameters as they are and no noise.

    No subclass, hook, override or derived weight; parameters of the shapes, and in one precision, that its sizes say.
    """
    kind = type(module)
    return (
        kind in _FORWARDS
        and kind.forward is _FORWARDS[kind]
        and not any(callable(value) for value in vars(module).values())
        and not module._forward_hooks
        and not module._forward_pre_hooks
        and not torch_module._global_forward_hooks
        and not torch_module._global_forward_pre_hooks
        and _has_its_parameters(module)
        and (_is_plain_stack(module) if isinstance(module, nn.RNNBase) else True)
    )


def _has_its_parameters(module: Any) -> bool:
    """Whether it has the parameters that its sizes ask for, and no other, all of them torch's own and of one kind."""
    expected = _shapes(module)
    found = {name: weight for name, weight in module._parameters.items() if weight is not None}
    if found.keys() != expected.keys() or not vars(module).keys().isdisjoint(expected):
        return False
    first = next(iter(found.values()))
    return all(
        type(weight) is nn.Parameter
        and weight.shape == expected[name]
        and weight.dtype == first.dtype
        and weight.device == first.device
        for name, weight in found.items()
    )


def _shapes(module: Any) -> dict[str, tuple[int, ...]]:
    hidden, biased = module.hidden_size, ("ih", "hh") if module.bias else ()
    if isinstance(module, nn.RNNCellBase):
        rows = {nn.RNNCell: 1, nn.GRUCell: 3, nn.LSTMCell: 4}[type(module)] * hidden
        weights = {"weight_ih": (rows, module.input_size), "weight_hh": (rows, hidden)}
        return weights | {f"bias_{of}": (rows,) for of in biased}
    rows = {nn.RNN: 1, nn.GRU: 3, nn.LSTM: 4}[type(module)] * hidden
    passed_on, ways = module.proj_size or hidden, ["", "_reverse"] if module.bidirectional else [""]
    shapes: dict[str, tuple[int, ...]] = {}
    for layer in range(module.num_layers):
        below = module.input_size if layer == 0 else passed_on * len(ways)
        for suffix in (f"_l{layer}{way}" for way in ways):
            shapes |= {f"weight_ih{suffix}": (rows, below), f"weight_hh{suffix}": (rows, passed_on)}
            shapes |= {f"bias_{of}{suffix}": (rows,) for of in biased}
            shapes |= {f"weight_hr{suffix}": (passed_on, hidden)} if module.proj_size else {}
    return shapes


def _is_plain_stack(module: nn.RNNBase) -> bool:
    """Whether a stack runs the kernel of its kind over its own parameters, and drops nothing."""
    noisy = module.training and module.dropout > 0 and module.num_layers > 1
    mode = _MODES.get(module.nonlinearity) if isinstance(module, nn.RNN) else type(module).__name__
    weights = module._flat_weights
    return (
        not noisy
        and module.mode == mode
        and len(weights) == len(module._parameters)
        and all(
            weight is module._parameters[name]
            for weight, name in zip(weights, module._parameters, strict=True)
        )
    )
