"""What a wrapped module holds: compiled, data-parallel, averaged, scripted and traced modules."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import torch
from torch import Tensor, nn

from aelle.modules.errors import ModuleError

_LAYERED = {"LSTM": nn.LSTM, "GRU": nn.GRU, "RNN": nn.RNN}
_CELLS = {"LSTMCell": nn.LSTMCell, "GRUCell": nn.GRUCell, "RNNCell": nn.RNNCell}
_KERNELS = ("aten::lstm", "aten::gru", "aten::rnn_tanh", "aten::rnn_relu")
_WRAPPERS = {  # by class: importing some of these takes seconds
    "torch._dynamo.eval_frame.OptimizedModule": "_orig_mod",
    "torch.nn.parallel.data_parallel.DataParallel": "module",
    "torch.nn.parallel.distributed.DistributedDataParallel": "module",
    "torch.optim.swa_utils.AveragedModel": "module",
}


def unwrapped(system: Any) -> Any:
    """The module inside torch.compile, DataParallel, DistributedDataParallel or an averaged model, or torch.jit.

    A scripted or traced module of torch.nn's own RNN, GRU, LSTM or one of their cells is built anew with its weights,
    and held against the module that runs. Everything else comes back as it is.

    Raises:
        ModuleError: for a quantised module, and a wrapper with hooks of its own.
    """
    while isinstance(system, nn.Module):
        _refuse_quantised(system)
        inner = _WRAPPERS.get(f"{type(system).__module__}.{type(system).__qualname__}")
        if inner is not None:
            if system._forward_hooks or system._forward_pre_hooks:
                raise ModuleError(
                    f"the wrapper {type(system).__name__} has forward hooks of its own; measure its .{inner}"
                )
            system = getattr(system, inner)
        elif isinstance(system, torch.jit.ScriptModule):
            return _from_script(system)
        else:
            break
    return system


def _refuse_quantised(module: nn.Module) -> None:
    home = type(module).__module__
    if home.startswith(("torch.ao.nn.quantized.", "torch.nn.quantized.", "torch.ao.nn.intrinsic.quantized.")):
        name = f"{home.split('.modules')[0]}.{type(module).__name__}"
        raise ModuleError(
            f"{name} is quantised: its state moves in steps and has no Jacobian; measure the module in floating point "
            "that it was made from"
        )


def _from_script(module: torch.jit.ScriptModule) -> nn.Module:
    """torch.nn's module of the same outputs, or the module itself where none is."""
    for candidate in _candidates(module):
        weights = dict(module.named_parameters())
        if {n: p.shape for n, p in candidate.named_parameters()} != {n: p.shape for n, p in weights.items()}:
            continue
        candidate.to(next(iter(weights.values()))).load_state_dict(weights)
        if _agree(module, candidate):
            return candidate.train(module.training)
    return module


def _candidates(module: torch.jit.ScriptModule) -> Iterator[nn.Module]:
    shapes = {name: tuple(parameter.shape) for name, parameter in module.named_parameters()}
    name = getattr(module, "original_name", "")
    with torch.random.fork_rng(devices=[]):
        if name in _CELLS and "weight_ih" in shapes:
            hidden, size = shapes["weight_hh"][1], shapes["weight_ih"][1]
            for options in [{}] if name != "RNNCell" else [{}, {"nonlinearity": "relu"}]:
                yield _CELLS[name](size, hidden, bias="bias_ih" in shapes, **options)
        elif name in _LAYERED and "weight_ih_l0" in shapes:
            yield from _layered(module, name, shapes)


def _layered(
    module: torch.jit.ScriptModule, name: str, shapes: dict[str, tuple[int, ...]]
) -> Iterator[nn.Module]:
    gates = {"LSTM": 4, "GRU": 3, "RNN": 1}[name]
    projection = shapes.get("weight_hr_l0")
    options: dict[str, Any] = {
        "num_layers": sum(key.startswith("weight_ih_l") and not key.endswith("_reverse") for key in shapes),
        "bias": "bias_ih_l0" in shapes,
        "bidirectional": "weight_ih_l0_reverse" in shapes,
        **({"proj_size": projection[0]} if projection else {}),
    }
    hidden, size = shapes["weight_ih_l0"][0] // gates, shapes["weight_ih_l0"][1]
    for kind in [{}] if name != "RNN" else [{"nonlinearity": "tanh"}, {"nonlinearity": "relu"}]:
        yield _LAYERED[name](size, hidden, batch_first=_batch_first(module), **options, **kind)


def _batch_first(module: torch.jit.ScriptModule) -> bool:
    """As the module says; a traced one says it in the call of its kernel alone."""
    if hasattr(module, "batch_first"):
        return bool(module.batch_first)
    for node in module.inlined_graph.nodes():
        if node.kind() in _KERNELS:
            return bool(list(node.inputs())[-1].toIValue())
    return False


@torch.no_grad()
def _agree(module: nn.Module, candidate: nn.Module) -> bool:
    """Whether the two give equal outputs on random inputs, in evaluation mode."""
    weight = next(candidate.parameters())
    training, layered = module.training, isinstance(candidate, nn.RNNBase)
    size: Any = candidate.input_size
    x = torch.randn([3, 3, size] if layered else [3, size], generator=torch.Generator().manual_seed(0))
    module.eval()
    candidate.eval()
    try:
        # TorchScript compiles the two forwards of a torch.nn.LSTM, for tensors and packed, under these names.
        found = getattr(module, "forward__0", module)(x.to(weight))
        expected = candidate(x.to(weight))
    except RuntimeError:
        return False
    finally:
        module.train(training)
    pairs = zip(_tensors(found), _tensors(expected), strict=True)
    tolerance = 100 * torch.finfo(weight.dtype).eps
    return all(a.shape == b.shape and torch.allclose(a, b, rtol=tolerance, atol=tolerance) for a, b in pairs)


def _tensors(result: Any) -> Iterator[Tensor]:
    for part in result if isinstance(result, tuple) else (result,):
        yield from _tensors(part) if isinstance(part, tuple) else iter((part,))
