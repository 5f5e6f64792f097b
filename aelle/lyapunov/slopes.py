"""Derivatives of tanh and σ that stay exact where automatic differentiation rounds them to nothing.

torch differentiates tanh as 1 - tanh², and σ as σ (1 - σ): from an argument of 19 (37) on these are zero, and long
before that they are rounding noise, so that the exponents of a saturated network would be invented. Inside
`exact_slopes` every such call is differentiated as 4 σ(2a) σ(-2a) and σ(a) σ(-a); values stay the same, up to the rounding of a sum.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor
from torch.overrides import TorchFunctionMode


def _with_slope(function: Callable[[Tensor], Tensor], slope: Callable[[Tensor], Tensor]) -> Any:
    """The function, differentiated by a formula of its own."""

    class Exact(torch.autograd.Function):
        generate_vmap_rule = True

        @staticmethod
        def forward(argument: Tensor) -> Tensor:
            return function(argument)

        @staticmethod
        def setup_context(ctx: Any, inputs: tuple[Tensor], output: Tensor) -> None:
            ctx.save_for_backward(*inputs)
            ctx.save_for_forward(*inputs)

        @staticmethod
        def backward(ctx: Any, *gradients: Any) -> Any:
            return gradients[0] * slope(ctx.saved_tensors[0])

        @staticmethod
        def jvp(ctx: Any, *tangents: Any) -> Any:
            return tangents[0] * slope(ctx.saved_tensors[0])

    return Exact.apply


def _tanh_slope(argument: Tensor) -> Tensor:
    return 4 * torch.sigmoid(2 * argument) * torch.sigmoid(-2 * argument)


def _sigmoid_slope(argument: Tensor) -> Tensor:
    return torch.sigmoid(argument) * torch.sigmoid(-argument)


_exact_tanh, _exact_sigmoid = _with_slope(torch.tanh, _tanh_slope), _with_slope(torch.sigmoid, _sigmoid_slope)


def _tanh(argument: Tensor) -> Tensor:
    real = isinstance(argument, Tensor) and argument.is_floating_point()
    return _exact_tanh(argument) if real else torch.tanh(argument)


def _sigmoid(argument: Tensor) -> Tensor:
    real = isinstance(argument, Tensor) and argument.is_floating_point()
    return _exact_sigmoid(argument) if real else torch.sigmoid(argument)


def _affine(x: Tensor, weight: Tensor, bias: Tensor | None) -> Tensor:
    return x @ weight.mT if bias is None else x @ weight.mT + bias


def _rnn_tanh_cell(
    x: Tensor, h: Tensor, w_ih: Tensor, w_hh: Tensor, b_ih: Tensor | None = None, b_hh: Tensor | None = None
) -> Tensor:
    return _tanh(_affine(x, w_ih, b_ih) + _affine(h, w_hh, b_hh))


def _lstm_cell(
    x: Tensor,
    state: tuple[Tensor, Tensor],
    w_ih: Tensor,
    w_hh: Tensor,
    b_ih: Tensor | None = None,
    b_hh: Tensor | None = None,
) -> tuple[Tensor, Tensor]:
    i, f, g, o = (_affine(x, w_ih, b_ih) + _affine(state[0], w_hh, b_hh)).chunk(4, -1)
    c = _sigmoid(f) * state[1] + _sigmoid(i) * _tanh(g)
    return _sigmoid(o) * _tanh(c), c


def _gru_cell(
    x: Tensor, h: Tensor, w_ih: Tensor, w_hh: Tensor, b_ih: Tensor | None = None, b_hh: Tensor | None = None
) -> Tensor:
    x_r, x_z, x_n = _affine(x, w_ih, b_ih).chunk(3, -1)
    h_r, h_z, h_n = _affine(h, w_hh, b_hh).chunk(3, -1)
    z, n = _sigmoid(x_z + h_z), _tanh(x_n + _sigmoid(x_r + h_r) * h_n)
    return n + z * (h - n)


def _over_time(cell: Callable[..., Any]) -> Callable[..., Any]:
    """torch's kernel over a sequence as steps of its cell; the kernel itself where it is more than one direction."""
    kernel: Any = {_lstm_cell: torch.lstm, _gru_cell: torch.gru, _rnn_tanh_cell: torch.rnn_tanh}[cell]

    def run(x: Tensor, state: Any, weights: Any, bias: Any, *settings: Any) -> Any:
        if not (isinstance(bias, bool) and len(settings) == 5):  # a packed sequence
            return kernel(x, state, weights, bias, *settings)
        layers, dropout, train, bidirectional, batch_first = settings
        per_layer = len(weights) // layers
        if bidirectional or (dropout and train) or x.dim() != 3 or per_layer != (4 if bias else 2):
            return kernel(x, state, weights, bias, *settings)
        pair, last = isinstance(state, tuple | list), []
        for layer in range(layers):
            own = weights[layer * per_layer : (layer + 1) * per_layer]
            here: Any = tuple(part[layer] for part in state) if pair else state[layer]
            outputs = []
            for step in x.unbind(1 if batch_first else 0):
                here = cell(step, here, *own)
                outputs.append(here[0] if pair else here)
            x = torch.stack(outputs, 1 if batch_first else 0)
            last.append(here)
        if pair:
            return x, *(torch.stack(part) for part in zip(*last, strict=True))
        return x, torch.stack(last)

    return run


_EXACT: dict[Any, Callable[..., Any]] = {
    torch.tanh: _tanh,
    torch.Tensor.tanh: _tanh,
    torch.sigmoid: _sigmoid,
    torch.Tensor.sigmoid: _sigmoid,
    torch.special.expit: _sigmoid,
    torch.tanh_: lambda a: a.copy_(_tanh(a.clone())),
    torch.Tensor.tanh_: lambda a: a.copy_(_tanh(a.clone())),
    torch.sigmoid_: lambda a: a.copy_(_sigmoid(a.clone())),
    torch.Tensor.sigmoid_: lambda a: a.copy_(_sigmoid(a.clone())),
    torch.rnn_tanh_cell: _rnn_tanh_cell,
    torch.lstm_cell: _lstm_cell,
    torch.gru_cell: _gru_cell,
    torch.rnn_tanh: _over_time(_rnn_tanh_cell),
    torch.lstm: _over_time(_lstm_cell),
    torch.gru: _over_time(_gru_cell),
}


class exact_slopes(TorchFunctionMode):  # noqa: N801 - a context manager, as torch names its own
    """Context in which tanh, σ and torch's cells are differentiated exactly however saturated they are.

    Scripted functions, and sequences that torch runs packed or in two directions, are out of its reach.
    """

    def __torch_function__(
        self, function: Any, types: Any, args: tuple[Any, ...] = (), kwargs: dict[str, Any] | None = None
    ) -> Any:
        """Replace the call where there is a better one."""
        exact = _EXACT.get(function) if not kwargs else None
        try:
            return exact(*args) if exact is not None else function(*args, **(kwargs or {}))
        except RuntimeError as error:
            if "Inference tensors" not in str(error):  # a weight made under inference_mode cannot be saved
                raise
            args = tuple(a.clone() if isinstance(a, Tensor) and a.is_inference() else a for a in args)
            return function(*args, **(kwargs or {}))
