"""Recipes of NAS-Bench-NLP (Klyuchnikov et al. 2020) as torch modules.

A recipe is a graph: every node has an `op` and the names of its `input`s, among them the layer's input `x` and the state's
parts `h_prev_i`; the new parts are the nodes `h_new_i`, and `h_new_0` is what a layer passes on.
"""

from __future__ import annotations

import itertools
import math
import re
from collections.abc import Callable, Mapping, Sequence
from functools import reduce
from graphlib import CycleError, TopologicalSorter
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional

Recipe = Mapping[str, Mapping[str, Any]]

ACTIVATIONS: dict[str, Callable[[Tensor], Tensor]] = {
    "tanh": torch.tanh,
    "sigm": torch.sigmoid,
    "leaky_relu": functional.leaky_relu,
    "relu": torch.relu,
    "elu": functional.elu,
    "gelu": functional.gelu,
    "softplus": functional.softplus,
    "sin": torch.sin,
    "identity": lambda x: x,
}
_ALIKE = {"sigmoid": "sigm", "leakyrelu": "leaky_relu", "linear": "identity"}
COMMUTATIVE = ("linear", "elementwise_sum", "elementwise_prod")
_MOST_ORDERS = 5  # parts of a state whose orders are all tried


class RecipeError(ValueError):
    """A recipe that is no recurrent cell."""


class RecipeCell(nn.Module):
    """One layer: (x, state) → (output, state), the state a tuple of one tensor (batch, hidden_size) a part.

    Every parameter is drawn from U(±1/√hidden_size), as the runs drew them; a linear node has one bias.

    Raises:
        RecipeError: for an unknown operation, an input that is no node, or nodes that wait for each other.
    """

    def __init__(self, recipe: Recipe, input_size: int, hidden_size: int) -> None:
        super().__init__()
        self.nodes = ordered(recipe)
        self.parts = states_of(recipe)
        self.input_size, self.hidden_size = input_size, hidden_size
        wide = reads_input_unweighted(recipe) and input_size != hidden_size
        if wide:
            raise RecipeError(
                f"x enters an elementwise node, so input_size must be hidden_size, got {input_size} and {hidden_size}"
            )
        self.weights = nn.ParameterDict()
        for name, node in self.nodes.items():
            if node["op"] == "linear":
                for place, source in enumerate(node["input"]):
                    size = input_size if source == "x" else hidden_size
                    self.weights[_key(name, place)] = nn.Parameter(torch.empty(hidden_size, size))
                self.weights[_key(name, "bias")] = nn.Parameter(torch.empty(hidden_size))
        bound = 1.0 / math.sqrt(hidden_size)
        for parameter in self.parameters():
            nn.init.uniform_(parameter, -bound, bound)

    def initial_state(self, rows: int) -> tuple[Tensor, ...]:
        """Zeros."""
        like = next(self.parameters(), torch.zeros(()))
        return tuple(like.new_zeros(rows, self.hidden_size) for _ in self.parts)

    def forward(self, x: Tensor, state: tuple[Tensor, ...]) -> tuple[Tensor, tuple[Tensor, ...]]:
        """One step: x (batch, input_size)."""
        values = dict(zip((f"h_prev_{i}" for i in self.parts), state, strict=True))
        values["x"] = x
        for name, node in self.nodes.items():
            values[name] = self._value(name, node, [values[source] for source in node["input"]])
        new = tuple(values[f"h_new_{i}"].expand_as(part) for i, part in zip(self.parts, state, strict=True))
        return new[0], new

    def run(self, inputs: Tensor) -> Tensor:
        """Return what the layer passes on along sequences, (batch, time, hidden_size)."""
        state = tuple(part.to(inputs) for part in self.initial_state(len(inputs)))
        outputs = []
        for x in inputs.unbind(1):
            output, state = self(x, state)
            outputs.append(output)
        return torch.stack(outputs, dim=1)

    def _value(self, name: str, node: Mapping[str, Any], inputs: Sequence[Tensor]) -> Tensor:
        op = node["op"]
        if op == "linear":
            parts = [inputs[i] @ self.weights[_key(name, i)].mT for i in range(len(inputs))]
            return reduce(torch.add, parts) + self.weights[_key(name, "bias")]
        if op == "blend":
            share, first, second = inputs
            return share * first + (1 - share) * second
        if op == "elementwise_sum":
            return reduce(torch.add, inputs)
        if op == "elementwise_prod":
            return reduce(torch.mul, inputs)
        if op == "elementwise_sub":
            return inputs[0] - inputs[1]
        return ACTIVATIONS[_activation(op)](inputs[0])


def ordered(recipe: Recipe) -> dict[str, Mapping[str, Any]]:
    """Return the nodes, checked, each after those that it reads."""
    if not isinstance(recipe, Mapping) or not recipe:
        raise RecipeError("a recipe must be a table of nodes")
    given = {"x"} | {f"h_prev_{i}" for i in states_of(recipe)}
    for name, node in recipe.items():
        if not isinstance(node, Mapping) or not isinstance(node.get("op"), str):
            raise RecipeError(f"node {name!r} has no operation")
        inputs = node.get("input")
        if not isinstance(inputs, Sequence) or isinstance(inputs, str):
            raise RecipeError(f"node {name!r} has no list of inputs")
        for source in inputs:
            if source not in recipe and source not in given:
                raise RecipeError(f"node {name!r} reads {source!r}, which is no node, no x and no h_prev")
        if name in given:
            raise RecipeError(f"a node is called {name!r}, which is given")
        _require_number(name, node["op"], len(inputs))
    graph = {name: [i for i in node["input"] if i in recipe] for name, node in recipe.items()}
    try:
        return {name: recipe[name] for name in TopologicalSorter(graph).static_order()}
    except CycleError as error:
        raise RecipeError(f"nodes wait for each other: {', '.join(error.args[1])}") from error


def states_of(recipe: Recipe) -> list[int]:
    """Return the numbers of the state's parts, ascending, 0 among them."""
    found = sorted(int(name[6:]) for name in recipe if re.fullmatch(r"h_new_\d+", str(name)))
    if not found or found[0] != 0:
        raise RecipeError("no node is called 'h_new_0', the new state that the layer passes on")
    return found


def _require_number(name: str, op: str, count: int) -> None:
    """Refuse an operation that is unknown or takes another number of inputs."""
    exact = {"blend": 3, "elementwise_sub": 2}
    if op in exact or op.startswith("activation_"):
        wanted = exact.get(op, 1)
        if op.startswith("activation_") and _activation(op) not in ACTIVATIONS:
            raise RecipeError(
                f"node {name!r} has the unknown activation {op!r}; known: {', '.join(ACTIVATIONS)}"
            )
        if count != wanted:
            raise RecipeError(f"node {name!r} ({op}) takes {wanted} inputs, got {count}")
    elif op not in COMMUTATIVE:
        known = ", ".join((*COMMUTATIVE, *exact, "activation_…"))
        raise RecipeError(f"node {name!r} has the unknown operation {op!r}; known: {known}")
    elif count < 1:
        raise RecipeError(f"node {name!r} ({op}) reads nothing")


def _activation(op: str) -> str:
    name = op.removeprefix("activation_")
    return _ALIKE.get(name, name)


def reads_input_unweighted(recipe: Recipe) -> bool:
    """Say whether x enters a node without weights, so that it must be as wide as the state."""
    return any("x" in node["input"] for node in recipe.values() if node["op"] != "linear")


def _key(name: str, place: int | str) -> str:
    return f"{name}:{place}".replace(".", "·")


def architecture(recipe: Recipe) -> str:
    """Return one text for all recipes of one function: whatever their nodes are called and in what order they stand.

    Orders of inputs count only where they mean something, and so do the numbers of the state's parts beyond the first.
    Nodes that no new state reads are left out. A node that is read twice is another thing than two alike, since two
    alike have weights of their own.
    """
    nodes, parts = ordered(recipe), states_of(recipe)
    others = parts[1:]
    orders = itertools.permutations(others) if len(parts) <= _MOST_ORDERS else [tuple(others)]
    return min(
        _text(nodes, parts, dict(zip((parts[0], *order), range(len(parts)), strict=True))) for order in orders
    )


def _text(nodes: Mapping[str, Mapping[str, Any]], parts: Sequence[int], number: Mapping[int, int]) -> str:
    """Text of a recipe under one numbering of the parts of its state."""
    words = {"x": "x"} | {f"h_prev_{part}": f"h{number[part]}" for part in parts}
    for name, node in nodes.items():
        inputs = [words[source] for source in node["input"]]
        if node["op"] in COMMUTATIVE:
            inputs.sort()
        op = node["op"] if not node["op"].startswith("activation_") else _activation(node["op"])
        words[name] = f"{op}({','.join(inputs)})"
    new = sorted((number[part], words[f"h_new_{part}"]) for part in parts)
    return "; ".join(word for _, word in new) + f" | {_shared(nodes, parts, words)}"


def _shared(nodes: Mapping[str, Mapping[str, Any]], parts: Sequence[int], words: Mapping[str, str]) -> str:
    """How many nodes of each text there are among those that some new state reads."""
    read, waiting = set(), [f"h_new_{part}" for part in parts]
    while waiting:
        name = waiting.pop()
        if name in nodes and name not in read:
            read.add(name)
            waiting += nodes[name]["input"]
    counts: dict[str, int] = {}
    for name in read:
        counts[words[name]] = counts.get(words[name], 0) + 1
    return ",".join(str(counts[word]) for word in sorted(counts) if counts[word] > 1)


class RecipeNetwork(nn.Module):
    """Layers of one recipe, first of `input_size`, last of `output_size`: (batch, time, input_size) → states.

    Args:
        sizes: of x and of every layer's state.
    """

    def __init__(self, recipe: Recipe, sizes: Sequence[int]) -> None:
        super().__init__()
        self.layers = nn.ModuleList(
            RecipeCell(recipe, below, size) for below, size in itertools.pairwise(sizes)
        )

    def forward(self, inputs: Tensor) -> Tensor:
        """Return what the last layer passes on, (batch, time, size)."""
        for layer in self.layers:
            assert isinstance(layer, RecipeCell)
            inputs = layer.run(inputs)
        return inputs
