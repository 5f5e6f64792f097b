"""What is measured of an untrained recipe: spectrum, growth, memory, states, and zero-cost proxies.

The runs stacked three layers of 600, 600 and 400 units under embeddings of 400. Here the same stack is a few tens of units
wide, its weights drawn by the same rule, driven by words of a text.
"""

from __future__ import annotations

import math
from collections import Counter
from dataclasses import dataclass

import numpy as np
import torch
from recipe import RecipeCell, RecipeNetwork, reads_input_unweighted, states_of
from runs import Run
from text import embedding, sequences
from torch import Tensor, nn

import aelle
from aelle.proxies import Batch, proxies

VERSION = "1"
"""Of what is measured; features of another one are measured again."""

QUANTILES = 12
LAGS = (0, 1, 2, 4, 8, 16, 32)
OPERATIONS = ("linear", "blend", "elementwise_sum", "elementwise_prod", "activation_tanh", "activation_sigm")
_DEEPEST, _WARMUP, _STEPS, _DIRECTIONS, _PREDICTED = -12.0, 30, 40, 3, 40
_RIDGE = 1e-3


@dataclass(frozen=True)
class Draw:
    """One draw of an untrained network: units of its first layers, scale of the embeddings, seed."""

    size: int
    drive: float
    seed: int


DRAWS = tuple(Draw(size, drive, 0) for size in (16, 32) for drive in (1.0, 10.0))
"""In the order of measurement: all recipes under the first, then the second."""


def measure(run: Run, draw: Draw, words: Tensor) -> dict[str, list[float]]:
    """All lists of numbers that are measured of one draw, by the name of their kind; NaN where a network explodes."""
    narrow = draw.size if reads_input_unweighted(run.recipe) else max(2, round(draw.size * 2 / 3))
    embedded = embedding(narrow, draw.drive, 7919 * draw.seed + draw.size)
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(1000 * draw.seed + draw.size)
        network = RecipeNetwork(run.recipe, [narrow, draw.size, draw.size, narrow]).double()
    first = network.layers[0]
    assert isinstance(first, RecipeCell)
    taken = lambda count, length, seed: sequences(words, count, length, 10 * draw.seed + seed)  # noqa: E731
    long = taken(16, 2 * _WARMUP + _STEPS + 1, 2)
    found = {
        "spectrum": spectrum(first, embedded[taken(4, _WARMUP + _STEPS, 1)]),
        "growth": input_growth(network, embedded[taken(4, max(LAGS) + 8, 3)]),
        **states_and_memory(network, embedded[long[:, :-1]], long[:, 1:]),
        "proxies": list(_proxies(network, embedded, taken(16, 21, 4)).values()),
    }
    return {k: [v if math.isfinite(v) else math.nan for v in values] for k, values in found.items()}


def spectrum(cell: RecipeCell, inputs: Tensor) -> list[float]:
    """Quantiles of the Lyapunov spectrum of one layer, its mean, and the share of directions that live for long."""
    try:
        exponents = aelle.lyapunov_spectrum(cell, inputs, warmup=_WARMUP).exponents.numpy()
        if not np.isfinite(np.maximum(exponents, _DEEPEST)).all():
            raise ValueError("it explodes")
    except (ValueError, TypeError):  # a cell that explodes, or whose state is read by nothing
        return [math.nan] * (QUANTILES + 3)
    kept = np.maximum(exponents, _DEEPEST)
    shares = [float(np.exp(steps * np.minimum(kept, 0)).mean()) for steps in (1, 5)]
    return [*np.quantile(kept, np.linspace(1, 0, QUANTILES)).tolist(), float(kept.mean()), *shares]


def input_growth(network: nn.Module, inputs: Tensor) -> list[float]:
    """⟨ln‖∂(u · y_T)/∂x_{T-τ}‖⟩ through the whole stack at `LAGS`, u random unit vectors, in nats."""
    leaf = inputs.repeat_interleave(_DIRECTIONS, dim=0).requires_grad_()
    output = network(leaf)[:, -1]
    drawn = torch.randn(output.shape, generator=torch.Generator().manual_seed(0), dtype=output.dtype)
    read = (nn.functional.normalize(drawn, dim=1) * output).sum() + 0 * leaf.sum()  # x may be read by nothing
    (gradient,) = torch.autograd.grad(read, leaf)
    logs = gradient.norm(dim=-1).nan_to_num(1e30).clamp(1e-30, 1e30).log().mean(0)
    return [float(logs[-1 - lag]) for lag in LAGS]


@torch.no_grad()
def states_and_memory(network: RecipeNetwork, inputs: Tensor, following: Tensor) -> dict[str, list[float]]:
    """How states move, and what a linear readout finds in them: inputs some steps ago, and the next word.

    Args:
        inputs: (batch, time, d).
        following: the next word at each step, (batch, time).
    """
    passed = [inputs]
    for layer in network.layers:
        assert isinstance(layer, RecipeCell)
        passed.append(layer.run(passed[-1]))
    states: list[float] = []
    memory: list[float] = []
    for hidden in (passed[1], passed[-1]):
        kept = hidden[:, _WARMUP:].nan_to_num(1e6, 1e6, -1e6).clamp(-1e6, 1e6)
        states += _moments(kept)
        memory += _decoded(kept, inputs, following)
    return {"states": states, "memory": memory}


def _moments(hidden: Tensor) -> list[float]:
    """ln mean magnitude, ln deviation, participation ratio of the principal components, autocorrelations."""
    rows = hidden.flatten(0, 1)
    centred = hidden - rows.mean(0)
    deviations = torch.linalg.svdvals(centred.flatten(0, 1)).square()
    ratio = deviations.sum().square() / deviations.square().sum().clamp_min(1e-30) / hidden.shape[-1]
    variance = centred.square().mean().clamp_min(1e-30)
    again = [float((centred[:, k:] * centred[:, :-k]).mean() / variance) for k in (1, 4, 16)]
    size = [float(value.clamp_min(1e-12).log()) for value in (rows.abs().mean(), rows.std(0).mean())]
    return [*size, float(ratio), *again]


def _decoded(hidden: Tensor, inputs: Tensor, following: Tensor) -> list[float]:
    """Share of variance that ridge regression on the states explains (Jaeger 2001, "Short term memory in echo state networks").

    Of the inputs 0, 1, 2, 4, 8 and 16 steps ago, of products of two inputs in a row, and of the next word among the most
    frequent.
    """
    rows = (hidden - hidden.flatten(0, 1).mean(0)).flatten(0, 1)
    rows = rows / rows.std(0).mean().clamp_min(1e-12)
    steps, time = hidden.shape[1], inputs.shape[1]
    back = [inputs[:, time - steps - lag : time - lag] for lag in (0, 1, 2, 4, 8, 16)]
    word = nn.functional.one_hot(following[:, -steps:].clamp_max(_PREDICTED), _PREDICTED + 1)
    wanted = [*back, back[0] * back[1], word.to(rows)]
    gram = rows.mT @ rows + _RIDGE * len(rows) * torch.eye(rows.shape[1], dtype=rows.dtype)
    factor = torch.linalg.cholesky(gram)
    explained = []
    for target in wanted:
        centred = target.flatten(0, 1) - target.flatten(0, 1).mean(0)
        seen = torch.linalg.solve_triangular(factor, rows.mT @ centred, upper=False)
        explained.append(float(seen.square().sum() / centred.square().sum().clamp_min(1e-30)))
    return explained


def _proxies(network: RecipeNetwork, embedded: Tensor, words: Tensor) -> dict[str, float]:
    """Of next-word prediction, the readout tied to the embeddings as in the runs."""

    def run(model: RecipeNetwork, inputs: Tensor) -> tuple[Tensor, Tensor]:
        hidden = model(inputs) + 0 * inputs.sum()  # x may be read by nothing
        return hidden, hidden @ embedded[: _PREDICTED + 1].mT

    target = words[:, 1:].clamp_max(_PREDICTED).flatten()
    loss = lambda outputs: nn.functional.cross_entropy(outputs.flatten(0, 1), target)  # noqa: E731
    return proxies(network, Batch(embedded[words[:, :-1]], run, loss))


def of_recipe(run: Run) -> dict[str, list[float]]:
    """What the recipe itself says: how many nodes of each operation, parts of the state; and the number of parameters."""
    counts = Counter(str(node["op"]) for node in run.recipe.values())
    others = sum(counts.values()) - sum(counts[op] for op in OPERATIONS)
    nodes = [float(counts[op]) for op in OPERATIONS]
    return {
        "nodes": [*nodes, float(others), float(len(states_of(run.recipe)))],
        "parameters": [run.parameters],
    }
