"""The contract tests themselves: right cells and tasks pass, and each broken one gets its own sentence."""

from typing import ClassVar

import pytest
import torch

from aelle.recurrent.cell import Cell, TangentTerms, tanh_slope
from aelle.recurrent.coupled_oscillator import CoRNN
from aelle.recurrent.elman import TanhRNN
from aelle.recurrent.lstm import LSTM
from aelle.recurrent.registry import ARCHITECTURES
from aelle.tasks.adding import Adding
from aelle.tasks.digits import Digits
from aelle.tasks.latch import Latch
from aelle.tasks.task import Split
from aelle.testing import check_cell, check_task


class LeakyRNN(Cell):
    """What a user would write: a leaky Elman cell with nothing beyond the contract."""

    architecture = "leaky"
    default_options: ClassVar = {"leak": 0.3}

    def _a(self, x, state):
        return self._from_input(x) + self._from_hidden(state)

    def step(self, x, state):
        leak = self.options["leak"]
        return (1 - leak) * state + leak * torch.tanh(self._a(x, state))

    def jacobian(self, x, state):
        leak, gain = self.options["leak"], tanh_slope(self._a(x, state))
        kept = (1 - leak) * torch.eye(self.hidden_size, dtype=state.dtype)
        return kept + leak * gain.unsqueeze(-1) * self.weight_hh.unsqueeze(-3)


@pytest.mark.parametrize("cell", [*ARCHITECTURES.values(), LeakyRNN], ids=lambda c: c.architecture)
def test_right_cells_pass(cell):
    check_cell(cell)


def test_instances_are_checked_with_their_own_sizes_and_options_and_left_as_they_are():
    cell = CoRNN(2, 7, dt=0.3)
    before = {name: tensor.clone() for name, tensor in cell.state_dict().items()}
    check_cell(cell)
    check_cell(LeakyRNN(2, 3, population=(2,), leak=0.9))
    assert all(torch.equal(cell.state_dict()[name], tensor) for name, tensor in before.items())


class WrongJacobian(TanhRNN):
    def jacobian(self, x, state):
        return 1.01 * super().jacobian(x, state)


class TransposedJacobian(TanhRNN):
    def jacobian(self, x, state):
        return super().jacobian(x, state).mT


class JacobianOfAnotherShape(TanhRNN):
    def jacobian(self, x, state):
        return super().jacobian(x, state)[0]


class InPlaceStep(TanhRNN):
    def step(self, x, state):
        return state.mul_(0.5) + super().step(x, state)


class WrongStateSize(TanhRNN):
    state_parts = ("h", "c")

    def step(self, x, state):
        return super().step(x, state[..., : self.hidden_size])


class RaisingStep(TanhRNN):
    def step(self, x, state):
        return super().step(x, state[..., 1:])


class RandomStep(TanhRNN):
    def step(self, x, state):
        return super().step(x, state) + 0.1 * torch.randn_like(state)


class MixingStep(TanhRNN):
    def step(self, x, state):
        return super().step(x, state) - state.mean(dim=-2, keepdim=True)


class WrongTerms(TanhRNN):
    def tangent_terms(self, x, state, hidden_only=False):
        terms = super().tangent_terms(x, state)
        return TangentTerms(terms.weights, (2 * terms.gains[0],))


class TermsOfTheWholeState(LSTM):
    def tangent_terms(self, x, state, hidden_only=False):
        return super().tangent_terms(x, state)


class WrongDeterminant(LeakyRNN):
    def log_abs_det(self, x, state):
        return torch.zeros(x.shape[:-1], dtype=x.dtype)


class WrongScan(LeakyRNN):
    def trajectory(self, inputs, state):
        return super().trajectory(inputs.flip(-2), state)


class WrongLinearisedTrajectory(TanhRNN):
    def linearised_trajectory(self, inputs, state, hidden_only=False):
        states, terms = super().linearised_trajectory(inputs, state, hidden_only)
        return states, TangentTerms(
            terms.weights, terms.gains, log_abs_det=torch.zeros(24, dtype=state.dtype)
        )


class WrongPopulation(LeakyRNN):
    def _a(self, x, state):
        first = self.weight_hh[0] if self.population else self.weight_hh
        recurrent = state @ first.mT
        return self._from_input(x) + (recurrent + self.bias_hh.unsqueeze(-2) if self.bias else recurrent)

    def jacobian(self, x, state):
        leak, gain = self.options["leak"], tanh_slope(self._a(x, state))
        first = self.weight_hh[0] if self.population else self.weight_hh
        return (1 - leak) * torch.eye(self.hidden_size, dtype=state.dtype) + leak * gain.unsqueeze(-1) * first


class HiddenParameter(LeakyRNN):
    def reset_parameters(self, scale, generator=None):
        super().reset_parameters(scale, generator)
        self.offset = scale

    def _a(self, x, state):
        return super()._a(x, state) + self.offset


class OwnRandomness(LeakyRNN):
    def reset_parameters(self, scale, generator=None):
        super().reset_parameters(scale)


class IdleParameter(LeakyRNN):
    def _a(self, x, state):
        return self._from_input(x) + state @ self.weight_hh.mT


class InfiniteGradient(LeakyRNN):
    def step(self, x, state):
        return (
            super().step(x, state)
            + 0 * (self.weight_hh - self.weight_hh.detach()).abs().sqrt().sum((-2, -1))[(..., *[None] * 2)]
        )


class Nameless(Cell):
    step = jacobian = None


BROKEN_CELLS = {
    WrongJacobian: "WrongJacobian.jacobian differs from automatic differentiation of step by up to",
    TransposedJacobian: "TransposedJacobian.jacobian is transposed: rows are outputs",
    JacobianOfAnotherShape: r"jacobian has shape \(5, 5\), expected \(\*P, batch, n, n\) = \(4, 5, 5\)",
    InPlaceStep: "InPlaceStep.step changes its arguments in place; it must be pure",
    WrongStateSize: r"WrongStateSize.step gives a state of shape \(4, 5\) where .* is \(4, 10\)",
    RaisingStep: "RaisingStep.step raised RuntimeError: ",
    RandomStep: "RandomStep.step is not deterministic",
    MixingStep: "MixingStep.step mixes the rows of a batch",
    WrongTerms: "WrongTerms.tangent_terms with hidden_only=False do not add up to the Jacobian",
    TermsOfTheWholeState: "TermsOfTheWholeState.tangent_terms with hidden_only=True do not add up",
    WrongDeterminant: r"WrongDeterminant.log_abs_det differs from ln\|det J\|",
    WrongScan: "WrongScan.trajectory differs from a loop of steps",
    WrongLinearisedTrajectory: "WrongLinearisedTrajectory.linearised_trajectory differs from its trajectory",
    WrongPopulation: "WrongPopulation.step of a population of 3 networks differs",
    HiddenParameter: "HiddenParameter is not restored by its state_dict",
    OwnRandomness: "OwnRandomness.reset_parameters draws not only from the generator",
    IdleParameter: "IdleParameter.bias_hh gets no gradient: no step uses it",
    InfiniteGradient: "InfiniteGradient.weight_hh gets a gradient that is not finite",
    Nameless: "Nameless needs a class attribute `architecture`",
    torch.nn.GRUCell: "GRUCell is not a subclass of aelle.recurrent.cell.Cell",
}


@pytest.mark.parametrize(
    "cell, sentence", BROKEN_CELLS.items(), ids=lambda value: getattr(value, "__name__", "")
)
def test_each_broken_cell_gets_its_own_sentence(cell, sentence):
    with pytest.raises(AssertionError, match=sentence) as caught:
        check_cell(cell)
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize("task", [Digits, Latch, Adding, Digits("pixels"), Latch(symbols=3, delay=2)])
def test_right_tasks_pass(task):
    check_task(task)


class FewerTargets(Latch):
    def __init__(self):
        super().__init__()
        self.validation = Split(self.validation.inputs, self.validation.targets[1:])


class EmptySplit(Latch):
    def __init__(self):
        super().__init__()
        self.test = self.test.take(torch.tensor([], dtype=torch.long))


class WholeNumbers(Latch):
    def encode(self, inputs):
        return super().encode(inputs).long()


class WrongInputSize(Latch):
    def __init__(self):
        super().__init__()
        self.input_size = 3

    def encode(self, inputs):
        return torch.nn.functional.one_hot(inputs, 8).float()


class LossPerSequence(Latch):
    def loss(self, outputs, targets):
        return torch.nn.functional.cross_entropy(outputs[:, -1], targets, reduction="none")


class DetachedLoss(Latch):
    def loss(self, outputs, targets):
        return super().loss(outputs.detach(), targets)


class TensorMetric(Latch):
    def metric(self, outputs, targets):
        return torch.tensor(0.5)


class UnseededDriving(Latch):
    def driving_sequences(self, count, steps, kind, generator):
        return super().driving_sequences(count, steps, kind, generator) + torch.rand(())


class AnyKindOfDriving(Latch):
    def driving_sequences(self, count, steps, kind, generator):
        return super().driving_sequences(count, steps, "noise", generator)


class OtherDataEachTime(Latch):
    def __init__(self):
        super().__init__()
        self.train = self.train.take(torch.randperm(len(self.train)))


class NeedsArguments(Latch):
    def __init__(self, path):
        super().__init__()


class NoMetricName(Latch):
    metric_name = None


BROKEN_TASKS = {
    FewerTargets: "FewerTargets.validation has 512 inputs but 511 targets",
    EmptySplit: "EmptySplit.test is empty",
    WholeNumbers: "WholeNumbers.encode gives torch.int64, expected torch.float32",
    WrongInputSize: r"WrongInputSize.encode gives shape \(8, 25, 8\) .* expected \(batch, T, input_size = 3\)",
    LossPerSequence: "LossPerSequence.loss must give a finite scalar tensor",
    DetachedLoss: "differentiating DetachedLoss.loss raised RuntimeError",
    TensorMetric: "TensorMetric.metric must give a finite Python float",
    UnseededDriving: "UnseededDriving.driving_sequences of validation draw not only from the generator",
    AnyKindOfDriving: "AnyKindOfDriving.driving_sequences must raise TaskError for an unknown kind",
    OtherDataEachTime: "OtherDataEachTime gives other data in train each time it is built",
    NeedsArguments: r"NeedsArguments\(\) raised TypeError: .*missing",
    NoMetricName: "NoMetricName.metric_name must be a str, got None",
    torch.nn.GRUCell: "GRUCell is not a subclass of aelle.tasks.task.Task",
}


@pytest.mark.parametrize(
    "task, sentence", BROKEN_TASKS.items(), ids=lambda value: getattr(value, "__name__", "")
)
def test_each_broken_task_gets_its_own_sentence(task, sentence):
    with pytest.raises(AssertionError, match=sentence):
        check_task(task)
