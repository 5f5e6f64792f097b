"""Any recurrent module as a cell of collections: trained as it is, measured by automatic differentiation."""

from __future__ import annotations

import copy
import inspect
import math
import time
from collections.abc import Callable, Mapping, Sequence
from functools import partial
from typing import Any, ClassVar, Self

import torch
from torch import Tensor, nn
from torch.func import functional_call

from aelle.lyapunov.derivatives import jacobians
from aelle.modules.errors import DiffersError, ModuleError
from aelle.modules.private import private_copy
from aelle.modules.reading import first_state, read
from aelle.modules.step import CELL, Call, Features, ModuleStep
from aelle.recurrent.cell import Cell
from aelle.words import first_line

_PROBED = 4, 6  # sequences, steps


class ModuleCell(Cell):
    """A module class `kind(input_size, hidden_size, **options)` with module(x, state) -> state or (output, state).

    The module trains as it is, over whole sequences where it takes them. It has no closed form: each Jacobian takes n
    backward passes, n being the size of its state. The flat state is the module's, counted from the one that it
    begins with; where the output that it passes on is no part of that, the output follows, unread by any step.

    `reset_parameters(scale)` draws the module's own initialisation and multiplies its matrices by scale · √H, the
    `init_gain` of experiments: a gain of 1 is the module as it comes.

    Raises:
        ValueError: where the module cannot be built or read as such.
    """

    architecture = "module"
    kind: ClassVar[type[nn.Module]]
    start: Tensor

    def __init__(
        self,
        input_size: int,
        hidden_size: int,
        bias: bool = True,
        *,
        population: Sequence[int] = (),
        dtype: torch.dtype | None = None,
        device: torch.device | str | None = None,
        **options: float,
    ) -> None:
        nn.Module.__init__(self)
        self.input_size, self.hidden_size, self.bias = input_size, hidden_size, bias
        self.population, self.options = tuple(population), self.checked_options(options)
        self.module = self._built()
        self._read()
        if self.population:
            self._stack([copy.deepcopy(self.module) for _ in range(math.prod(self.population))])
        self.to(device=device, dtype=dtype or next(self.module.parameters(), torch.empty(0)).dtype)

    @classmethod
    def checked_options(cls, options: Mapping[str, float]) -> dict[str, Any]:
        """Options by the names and in the types of the module's own arguments; whole numbers are integers."""
        known = inspect.signature(cls.kind).parameters
        free = any(p.kind is p.VAR_KEYWORD for p in known.values())
        checked: dict[str, Any] = {}
        for name, value in options.items():
            if name not in known and not free:
                raise ValueError(
                    f"architecture {cls.architecture!r} has no option {name!r}; known: {', '.join(list(known)[2:]) or 'none'}"
                )
            default = known[name].default if name in known else None
            whole = float(value).is_integer() and not isinstance(default, float)
            checked[name] = (
                bool(value) if isinstance(default, bool) else int(value) if whole else float(value)
            )
        return checked

    def _built(self) -> nn.Module:
        known = inspect.signature(self.kind).parameters
        given = {name: value for name, value in (("bias", self.bias), ("batch_first", True)) if name in known}
        try:
            return self.kind(self.input_size, self.hidden_size, **{**given, **self.options})
        except Exception as error:  # a user's class may raise anything
            raise self._refusal(
                f"cannot be built as {self.kind.__name__}({self.input_size}, {self.hidden_size}): "
                f"{type(error).__name__}: {first_line(error)}; give a class that takes input_size and hidden_size"
            ) from error

    def _refusal(self, reason: str) -> ValueError:
        return ValueError(f"architecture {self.architecture!r} {reason}")

    @torch.no_grad()
    def _read(self) -> None:
        """Find out how the module is called, where its output stands, and what it begins with."""
        features = Features((self.input_size,), torch.float64)
        generator = torch.Generator().manual_seed(0)
        probe = torch.randn(*_PROBED, self.input_size, generator=generator, dtype=torch.float64)
        try:
            step = read(private_copy(self.module, torch.float64), probe, features, torch.float64)
            start, after = first_state(step, probe[:, 0])
        except (DiffersError, ModuleError) as error:
            raise self._refusal(f"cannot be read as module(x, state): {first_line(error)}") from error
        if after or not torch.equal(start, start[:1].expand_as(start)):
            raise self._refusal(
                "begins with a state that depends on its first input; give it zeros to begin with"
            )
        call, self._layout, self._features = step.call, step.layout, features
        self._way, self._where, self._default_dtype = call.way, call.where, call.default_dtype
        self.register_buffer("start", start[0], persistent=False)
        result = call.once(step.shaped(probe[:, 0]), step.layout.unflatten(start))
        output = self._output_of(result)
        if output is None or output.shape != (len(probe), self.hidden_size):
            found = "no output" if output is None else f"{output.shape[-1]} numbers"
            raise self._refusal(f"passes on {found} where hidden_size is {self.hidden_size}")
        self._offset = place_of(output, step.flat(result))

    def _output_of(self, result: Any) -> Tensor | None:
        """Output (rows, H) of one step."""
        if self._way != CELL:
            output = Call(self.module, self._way, self._where).output(result)
            return None if output is None else output[:, -1]
        first = result[0] if isinstance(result, tuple | list) else result
        return first if isinstance(first, Tensor) else None

    @property
    def state_size(self) -> int:
        """Numbers of the module's state, and of its output where that is no part of it."""
        return self.carried_size + (self.hidden_size if self._offset is None else 0)

    @property
    def carried_size(self) -> int:
        """Numbers of the module's state."""
        return self._layout.size

    def output(self, state: Tensor) -> Tensor:
        """What the module passes on."""
        if self._offset is None:
            return state[..., self.carried_size :]
        place = slice(self._offset, self._offset + self.hidden_size)
        return state[..., place] + self.start[place]

    def step(self, x: Tensor, state: Tensor) -> Tensor:
        """One call of the module."""
        return self._by_network(self._step_of_one, x, state)

    def _step_of_one(self, module: Callable[..., Any], x: Tensor, state: Tensor) -> Tensor:
        step = self._module_step(module, state.dtype)
        result = step.call.once(step.shaped(x), self._unflat(state))
        return self._flat(step, result, self._output_of(result))

    def _module_step(self, module: Callable[..., Any], dtype: torch.dtype) -> ModuleStep:
        call = Call(module, self._way, self._where, self._default_dtype and dtype)
        return ModuleStep(call, self._layout, self._features, dtype)

    def _unflat(self, state: Tensor) -> Any:
        return self._layout.unflatten(state[..., : self.carried_size] + self.start)

    def _flat(self, step: ModuleStep, result: Any, output: Tensor | None) -> Tensor:
        flat = step.flat(result) - self.start
        return flat if self._offset is not None or output is None else torch.cat([flat, output], dim=-1)

    def jacobian(self, x: Tensor, state: Tensor) -> Tensor:
        """Automatic, by n backward passes."""
        return self._by_network(self._jacobian_of_one, x, state)

    def _jacobian_of_one(self, module: Callable[..., Any], x: Tensor, state: Tensor) -> Tensor:
        step: Any = partial(self._step_of_one, module)
        return jacobians(step, x, state)

    def cost(self) -> str:
        """What a Jacobian costs, in words, measured on one."""
        x, state = self.start.new_zeros(1, self.input_size), self.start.new_zeros(1, self.state_size)
        started = time.process_time()
        self.jacobian(x, state)
        milliseconds = 1000 * (time.process_time() - started)
        return (
            f"has no closed form: each step of a spectrum takes {self.carried_size} backward passes, {milliseconds:.1f} ms "
            f"for one sequence here; a cell with a closed form (docs/how-to/own-cell.md) is cheaper"
        )

    def scan(self, inputs: Tensor, state: Tensor) -> tuple[Tensor, Tensor]:
        """Outputs and last state: one call over the whole sequences where the module takes them."""
        if self._way == CELL:
            return super().scan(inputs, state)
        both = self._by_network(self._scan_of_one, inputs, state)
        outputs, last = both.split([inputs.shape[-2] * self.hidden_size, self.state_size], dim=-1)
        return outputs.unflatten(-1, (-1, self.hidden_size)), last

    def _scan_of_one(self, module: Callable[..., Any], inputs: Tensor, state: Tensor) -> Tensor:
        step = self._module_step(module, state.dtype)
        result = step.call.once(inputs, self._unflat(state))
        outputs = step.call.output(result)
        assert outputs is not None
        return torch.cat([outputs.flatten(1), self._flat(step, result, outputs[:, -1])], dim=-1)

    def _by_network(self, function: Callable[..., Tensor], x: Tensor, state: Tensor) -> Tensor:
        """Call the function for each network of a population, one after the other."""
        if not self.population:
            return function(self.module, x, state)
        return torch.stack([function(*args) for args in zip(self._networks(), x, state, strict=True)])

    def _networks(self) -> list[Callable[..., Any]]:
        tensors = {**dict(self.module.named_parameters()), **dict(self.module.named_buffers())}

        def network(i: int) -> Callable[..., Any]:
            own = {name: tensor[i] for name, tensor in tensors.items()}
            return lambda *arguments: functional_call(self.module, own, arguments)

        return [network(i) for i in range(self.population[0])]

    @torch.no_grad()
    def reset_parameters(self, scale: float, generator: torch.Generator | None = None) -> None:
        """Draw the module's own initialisation, matrices times scale · √H."""
        gain = scale * math.sqrt(self.hidden_size)
        drawn = [self._drawn(gain, generator) for _ in range(math.prod(self.population))]
        for name, tensor in [*self.module.named_parameters(), *self.module.named_buffers()]:
            new = [tensors[name] for tensors in drawn]
            tensor.copy_(torch.stack(new) if self.population else new[0])

    def _drawn(self, gain: float, generator: torch.Generator | None) -> dict[str, Tensor]:
        seed = int(torch.randint(2**62, (), generator=generator))
        with torch.random.fork_rng(devices=[]):
            torch.manual_seed(seed)
            fresh = self._built()
        parameters = {n: p.detach() * (gain if p.dim() > 1 else 1) for n, p in fresh.named_parameters()}
        return parameters | dict(fresh.named_buffers())

    @classmethod
    def stack(cls, cells: Sequence[Self]) -> Self:
        """Cells of one shape as a population; its networks run one after the other."""
        stacked = copy.deepcopy(cells[0])
        stacked.population = (len(cells),)
        stacked._stack([cell.module for cell in cells])
        stacked._require_exchangeable(cells[0])
        return stacked

    @torch.no_grad()
    def _require_exchangeable(self, one: Self) -> None:
        """Refuse a module that runs by other parameters than those it is given, from a dict of its own for example."""
        like, changed = self.start, copy.deepcopy(one)
        x, state = (
            torch.linspace(-1, 1, size).to(like).unsqueeze(0) for size in (self.input_size, self.state_size)
        )
        for parameter in changed.module.parameters():
            parameter.mul_(1.25)
        given = dict(changed.module.named_parameters()) | dict(changed.module.named_buffers())
        found = self._step_of_one(lambda *args: functional_call(one.module, given, args), x, state)
        if not torch.allclose(found, changed.step(x, state), rtol=1e-4, atol=1e-6, equal_nan=True):
            raise self._refusal(
                "keeps its parameters where they cannot be exchanged, so that its networks cannot train as one batch; "
                "use training.backend = 'native'"
            )

    @torch.no_grad()
    def _stack(self, modules: Sequence[nn.Module]) -> None:
        """Put the modules' parameters and buffers into this one's, with a leading dimension."""
        for name, parameter in list(self.module.named_parameters()):
            together = torch.stack([module.get_parameter(name) for module in modules])
            owner, _, last = name.rpartition(".")
            self.module.get_submodule(owner)._parameters[last] = nn.Parameter(
                together, parameter.requires_grad
            )
        for name, _ in list(self.module.named_buffers()):
            owner, _, last = name.rpartition(".")
            together = torch.stack([module.get_buffer(name) for module in modules])
            self.module.get_submodule(owner)._buffers[last] = together


def place_of(output: Tensor, flat: Tensor) -> int | None:
    """Where in the state (rows, n) the output (rows, H) stands, or None."""
    if flat.shape[-1] < output.shape[-1]:
        return None
    same = (flat.unfold(-1, output.shape[-1], 1) == output.unsqueeze(1)).all(-1).all(0)
    return int(same.nonzero()[0]) if bool(same.any()) else None
