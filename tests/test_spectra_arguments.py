"""Arguments in the forms people have them, for every public function of aelle.spectra: taken, or refused in one line."""

import numpy as np
import pytest
import torch
from torch import nn

from aelle import spectra
from aelle.lyapunov.structure import BlockDiagonal, DiagonalPlusLowRank
from aelle.spectra import (
    DrivenMap,
    cohort_readout_growth,
    conditional_vs_generative,
    covariant_lyapunov_vectors,
    fixed_points,
    flow_map,
    leading_exponents,
    lyapunov_spectra,
    lyapunov_spectrum,
    mean_field,
    readout_growth,
    reference_exponents,
    spectrum_distance,
)

torch.manual_seed(0)
NET = nn.GRU(3, 4, batch_first=True)
DEEP = nn.GRU(3, 4, num_layers=2, batch_first=True)
X = torch.randn(2, 60, 3, dtype=torch.float64)
READOUT = nn.Linear(4, 3)
HENON = DrivenMap(lambda x, s: torch.stack([1 - 1.4 * s[0] ** 2 + s[1], 0.3 * s[0]]), 2)
START = torch.tensor([0.1, 0.1], dtype=torch.float64)


def linear(x, s):
    return 0.5 * s


# One call of each function, by keyword; what is varied below is put in.
CALLS = {
    "lyapunov_spectrum": (lyapunov_spectrum, {"system": NET, "inputs": X}),
    "lyapunov_spectra": (lyapunov_spectra, {"networks": [NET, NET], "inputs": X}),
    "a cohort as one batch": (lyapunov_spectra, {"networks": [NET, NET], "inputs": X, "batched": True}),
    "leading_exponents": (leading_exponents, {"system": NET, "inputs": X}),
    "covariant_lyapunov_vectors": (
        covariant_lyapunov_vectors, {"system": NET, "inputs": X, "warmup": 20, "cooldown": 20},
    ),
    "conditional_vs_generative": (
        conditional_vs_generative, {"network": NET, "inputs": X, "readout": READOUT},
    ),
    "readout_growth": (readout_growth, {"model": NET, "inputs": X, "readout": READOUT}),
    "cohort_readout_growth": (cohort_readout_growth, {"models": [NET], "inputs": X}),
    "fixed_points": (fixed_points, {"system": NET, "inputs": X, "count": 8, "iterations": 50}),
    "reference_exponents": (
        reference_exponents, {"system": DrivenMap(linear, 2), "inputs": X[0], "state": START},
    ),
}  # fmt: skip
TAKE_SEQUENCES = sorted(set(CALLS) - {"reference_exponents"})


def called(name, **changed):
    function, arguments = CALLS[name]
    return numbers(function(**arguments | changed))


def numbers(result):
    """What a result says, as one tensor."""
    if isinstance(result, list):
        return torch.cat([numbers(one) for one in result])
    for name in ("exponents", "difference", "points"):
        if hasattr(result, name):
            return getattr(result, name)
    return result.detach()


def one_line(call, *errors):
    with pytest.raises(errors or (ValueError, TypeError)) as raised:
        call()
    text = str(raised.value)
    assert text
    assert "\n" not in text
    assert len(text) < 250
    return text


@pytest.mark.parametrize("name", sorted(CALLS))
def test_arrays_are_inputs(name):
    given = CALLS[name][1]["inputs"]
    expected = called(name)
    torch.testing.assert_close(called(name, inputs=given.numpy()), expected)
    torch.testing.assert_close(
        called(name, inputs=given.numpy().astype(np.float32)), expected, rtol=1e-3, atol=1e-4
    )


@pytest.mark.parametrize("name", TAKE_SEQUENCES)
def test_lists_are_inputs(name):
    expected = called(name)
    for form in (list(X), list(X.numpy()), X.tolist()):
        torch.testing.assert_close(called(name, inputs=form), expected)


@pytest.mark.parametrize("name", TAKE_SEQUENCES)
def test_whole_numbers_as_inputs_are_numbers(name):
    whole = torch.randint(0, 3, X.shape, generator=torch.Generator().manual_seed(0))
    torch.testing.assert_close(called(name, inputs=whole.numpy()), called(name, inputs=whole.double()))


@pytest.mark.parametrize(
    "bad",
    [
        X + 1j, (X + 1j).numpy(), [x + 1j for x in X], "text", 5, X.numpy()[0, 0], [],
        [[[1.0, 2.0, 3.0], [1.0, 2.0]]], [["a"]], np.array([["a", "b"]]), [X[0], X[1, :, :2]], [X[0], None],
        X / 0, np.full((2, 60, 3), np.nan), object(), {1, 2}, X[:, :0], iter([1]),
    ],
    ids=lambda bad: type(bad).__name__,
)  # fmt: skip
@pytest.mark.parametrize("name", TAKE_SEQUENCES)
def test_other_inputs_are_one_line(name, bad):
    one_line(lambda: called(name, inputs=bad))


WHOLE = [
    ("lyapunov_spectrum", "k", 3), ("lyapunov_spectrum", "steps", 20), ("lyapunov_spectrum", "warmup", 30),
    ("lyapunov_spectrum", "qr_interval", 2), ("lyapunov_spectra", "k", 3), ("lyapunov_spectra", "warmup", 30),
    ("a cohort as one batch", "k", 3), ("a cohort as one batch", "steps", 20),
    ("a cohort as one batch", "warmup", 30), ("a cohort as one batch", "qr_interval", 2),
    ("leading_exponents", "k", 2), ("leading_exponents", "warmup", 30),
    ("covariant_lyapunov_vectors", "k", 2), ("covariant_lyapunov_vectors", "warmup", 20),
    ("covariant_lyapunov_vectors", "cooldown", 20),
    ("conditional_vs_generative", "steps", 30), ("conditional_vs_generative", "warmup", 30),
    ("fixed_points", "count", 6), ("fixed_points", "iterations", 40), ("reference_exponents", "warmup", 5),
]  # fmt: skip


@pytest.mark.parametrize("name, argument, value", WHOLE)
def test_every_kind_of_whole_number(name, argument, value):
    expected = called(name, **{argument: value})
    for form in (np.int64(value), np.int32(value), np.uint8(value), torch.tensor(value)):
        torch.testing.assert_close(called(name, **{argument: form}), expected)


@pytest.mark.parametrize("bad", [2.5, 3.7, 3.0, np.float64(3), "three", True, [3], 2 + 0j, -1], ids=repr)
@pytest.mark.parametrize("name, argument, value", WHOLE)
def test_other_numbers_are_one_line(name, argument, value, bad):
    assert argument in one_line(lambda: called(name, **{argument: bad})) or argument == "cooldown"


SYSTEMS = [
    lambda n: lyapunov_spectrum(HENON, steps=n, initial_state=START),
    lambda n: lyapunov_spectrum(HENON, steps=50, warmup=n, initial_state=START),
    lambda n: covariant_lyapunov_vectors(HENON, steps=n, initial_state=START),
    lambda n: lyapunov_spectrum(HENON, steps=50, initial_state=START).continue_(steps=n),
    lambda n: lyapunov_spectrum(DrivenMap(linear, n), steps=5),
    lambda n: lyapunov_spectrum(flow_map(lambda t, y: -y, n, 0.1), steps=5),
    lambda n: lyapunov_spectrum(flow_map(lambda t, y: -y, 2, 0.1, substeps=n), steps=5),
    lambda n: BlockDiagonal(n),
    lambda n: DiagonalPlusLowRank(n),
]


@pytest.mark.parametrize("call", SYSTEMS)
def test_whole_numbers_of_maps(call):
    for form in (3, np.int64(3), torch.tensor(3)):
        call(form)
    for bad in (2.5, "three", True, -1):
        one_line(lambda bad=bad: call(bad))


DRAWING = ["lyapunov_spectrum", "lyapunov_spectra", "a cohort as one batch", "leading_exponents",
           "covariant_lyapunov_vectors", "fixed_points"]  # fmt: skip


@pytest.mark.parametrize("name", DRAWING)
def test_a_generator_may_be_a_seed(name):
    drawn = called(name, generator=torch.Generator().manual_seed(7))
    torch.testing.assert_close(called(name, generator=7), drawn)
    torch.testing.assert_close(called(name, generator=np.int64(7)), drawn)
    called(name, generator=0)
    for bad in (0.5, "seed", np.random.default_rng(0), True):
        assert "generator must be" in one_line(lambda bad=bad: called(name, generator=bad), TypeError)


@pytest.mark.parametrize(
    "name", ["lyapunov_spectrum", "lyapunov_spectra", "a cohort as one batch", "leading_exponents",
             "covariant_lyapunov_vectors", "conditional_vs_generative"],
)  # fmt: skip
def test_a_warm_up_may_be_auto(name):
    called(name, warmup="auto")
    if name == "covariant_lyapunov_vectors":
        assert covariant_lyapunov_vectors(NET, X, warmup="auto", cooldown="auto").vectors.shape[1] == 25
    one_line(lambda: called(name, warmup="long"))
    one_line(lambda: called(name, warmup=None))


@pytest.mark.parametrize(
    "name", ["lyapunov_spectrum", "lyapunov_spectra", "leading_exponents", "covariant_lyapunov_vectors"]
)
def test_initial_states_may_be_arrays(name):
    state = torch.linspace(-0.5, 0.5, 8, dtype=torch.float64).view(2, 4)
    expected = called(name, initial_state=state)
    torch.testing.assert_close(called(name, initial_state=state.numpy()), expected)
    one_line(lambda: called(name, initial_state=state + 1j))
    one_line(lambda: called(name, initial_state=(state + 1j).numpy()))
    one_line(lambda: called(name, initial_state=np.zeros((2, 5))))


def test_initial_states_of_a_stack_may_be_arrays():
    state = torch.linspace(-0.5, 0.5, 16, dtype=torch.float64).view(2, 8)
    expected = lyapunov_spectrum(DEEP, X, initial_state=state).exponents
    assert torch.equal(lyapunov_spectrum(DEEP, X, initial_state=state.numpy()).exponents, expected)


def test_ragged_arrays():
    ragged = [X[0], X[1, :50]]
    expected = lyapunov_spectrum(NET, ragged).exponents
    assert torch.equal(lyapunov_spectrum(NET, [x.numpy() for x in ragged]).exponents, expected)
    assert torch.equal(lyapunov_spectrum(NET, [x.tolist() for x in ragged]).exponents, expected)
    for name in (
        "leading_exponents",
        "covariant_lyapunov_vectors",
        "readout_growth",
        "cohort_readout_growth",
    ):
        assert "one length" in one_line(lambda name=name: called(name, inputs=ragged))


@pytest.mark.parametrize("tolerance", ["small", -1.0, 0, float("nan"), [1.0]])
def test_a_tolerance_is_a_positive_number(tolerance):
    assert "tolerance" in one_line(lambda: lyapunov_spectrum(NET, X, tolerance=tolerance))


@pytest.mark.parametrize("level", [0, 1, 95, "high", None])
def test_a_level_lies_between_0_and_1(level):
    assert "level" in one_line(lambda: lyapunov_spectrum(NET, X).confidence_interval(level))


@pytest.mark.parametrize("g, sigma", [("1", 0), (1, "0"), (None, 0), (1j, 0), (float("nan"), 0), (np.inf, 0)])
def test_mean_field_takes_numbers(g, sigma):
    one_line(lambda: mean_field(g, sigma))
    assert mean_field(np.float32(2), np.int64(0)) == mean_field(2.0)


def test_dimensions_of_flows():
    for dt in (0, -1.0, "0.1", float("inf"), 1j):
        one_line(lambda dt=dt: flow_map(lambda t, y: -y, 2, dt))


def test_distances_take_arrays():
    a, b = np.array([0.1, -0.5]), torch.tensor([0.2, -0.5], dtype=torch.float64)
    assert spectrum_distance(a, b) == pytest.approx(0.1 / 2**0.5)
    for bad in ("text", None, np.array([1j, 0])):
        one_line(lambda bad=bad: spectrum_distance(bad, b))
    one_line(lambda: spectrum_distance(a, b, lowest="deep"))


def test_every_public_function_is_in_the_table():
    functions = {name for name in spectra.__all__ if name[0].islower()}
    others = {"flow_map", "look", "mean_field", "spectrum_distance"}  # each has tests of its own
    assert functions == {function.__name__ for function, _ in CALLS.values()} | others
