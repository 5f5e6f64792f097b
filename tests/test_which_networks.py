"""Every row of docs/how-to/which-networks.md, against a plain QR loop on automatic Jacobians; and the packages' cells."""

import copy
import importlib.util
import re
import sys
import warnings
from pathlib import Path

import pytest
import torch
from torch.utils._pytree import tree_flatten, tree_unflatten

from aelle.lyapunov.factorise import random_frame
from aelle.spectra import DrivenMap, lyapunov_spectrum

ROOT = Path(__file__).parent.parent
PAGE = ROOT / "docs" / "how-to" / "which-networks.md"
F64 = torch.float64
HIDDEN, WARMUP = 4, 15


def benchmark():
    path = ROOT / "experiments" / "benchmarks" / "which_networks.py"
    spec = importlib.util.spec_from_file_location("which_networks", path)
    module = sys.modules.setdefault("which_networks", importlib.util.module_from_spec(spec))
    spec.loader.exec_module(module)
    return module


KINDS = benchmark().KINDS
IN_AXES = ("aelle's cells: minGRU", "aelle's cells: LRU")


def flat_step(system, state, sequences=False):
    """A system's own call in float64, (input, flat state) to flat state, and the flat state to begin with."""
    if isinstance(system, DrivenMap):
        return system.step, torch.zeros(system.state_size, dtype=F64)
    leaves, spec = tree_flatten(state)
    shapes = [torch.view_as_real(leaf).shape if leaf.is_complex() else leaf.shape for leaf in leaves]

    def flatten(tree):
        parts = (torch.view_as_real(leaf) if leaf.is_complex() else leaf for leaf in tree_flatten(tree)[0])
        return torch.cat([part.reshape(-1) for part in parts])

    def restored(flat):
        parts = [
            p.clone().view(shape)
            for p, shape in zip(flat.split([s.numel() for s in shapes]), shapes, strict=True)
        ]
        parts = [
            torch.view_as_complex(p) if leaf.is_complex() else p
            for p, leaf in zip(parts, leaves, strict=True)
        ]
        return tree_unflatten(parts, spec)

    own = copy.deepcopy(system).double().eval()
    call = (
        getattr(own, "step", None)
        if not hasattr(own, "forward") or type(own).forward is torch.nn.Module.forward
        else own
    )

    def step(x, flat):
        found = call(x.view(1, 1, -1) if sequences else x.unsqueeze(0), restored(flat.clone()))
        same = tree_flatten(found)[1] == spec
        return flatten(found if same else found[1])

    return step, flatten(state)


def plain_exponents(step, inputs, state, frame):
    """One QR a step, one sequence at a time; Jacobians without vmap, which not every module survives.

    Also the smallest rank of any Jacobian: what lies beyond it is -inf, and rounding noise in any QR.
    """
    sums, rank = torch.zeros(len(state), dtype=F64), len(state)
    for sequence in inputs:
        s, q = state, frame
        for t, x in enumerate(sequence):
            jacobian = torch.autograd.functional.jacobian(lambda s, x=x: step(x, s), s)
            rank = min(rank, int(torch.linalg.matrix_rank(jacobian, rtol=1e-13)))
            q, r = torch.linalg.qr(jacobian @ q)
            if t >= WARMUP:
                sums += r.diagonal().abs().log()
            s = step(x, s).detach()
    return (sums / (len(inputs) * (inputs.shape[1] - WARMUP))).sort(descending=True).values, rank


def hold_to_the_loop(system, inputs, state, sequences, in_axes=False, tolerance=1e-6):
    step, start = flat_step(system, state, sequences)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        spectrum = lyapunov_spectrum(system, inputs, warmup=WARMUP, initial_state=start.clone())
    n = len(start)
    frame = torch.eye(n, dtype=F64) if in_axes else random_frame(n, n, F64, torch.device("cpu"), None).mT
    expected, rank = plain_exponents(step, inputs.double(), start, frame)
    assert len(spectrum) == n
    known = min(rank, int((spectrum.rounding_error < 1e-7).long().cumprod(0).sum()))
    assert known >= 2
    torch.testing.assert_close(spectrum.exponents[:known], expected[:known], rtol=0, atol=tolerance)


def test_every_row_of_the_page_is_tested_and_every_kind_is_on_the_page():
    rows = re.findall(r"^\| ([^|]+?) \|", PAGE.read_text("utf-8").split("## What each costs")[1], re.M)
    assert [row for row in rows if row not in ("network", "---")] == list(KINDS)


@pytest.mark.parametrize("name", KINDS)
def test_a_row_of_the_page_has_the_exponents_of_a_plain_loop(name):
    kind = KINDS[name]
    if kind.package is not None:
        pytest.importorskip(kind.package)
    torch.manual_seed(0)
    system = kind.make(HIDDEN)
    inputs = torch.randn(2, 40, kind.input_size(HIDDEN), generator=torch.Generator().manual_seed(2))
    hold_to_the_loop(system, inputs, kind.state(HIDDEN), kind.sequences, name in IN_AXES)


# Every cell of torchrecurrent, as it comes.

DOUBLE = {
    "JANETCell", "LEMCell", "MCLSTMCell", "MultiplicativeLSTMCell", "NASCell", "OriginalLSTMCell",
    "PeepholeLSTMCell", "RANCell", "ResLSTMCell", "SCRNCell", "UnICORNNCell", "WMCLSTMCell", "coRNNCell",
}  # fmt: skip


def torchrecurrent_cells():
    if importlib.util.find_spec("torchrecurrent") is None:
        return []
    import torchrecurrent

    return [name for name in torchrecurrent.__all__ if name.endswith("Cell")]


@pytest.mark.parametrize("name", torchrecurrent_cells())
def test_every_cell_of_torchrecurrent_as_it_comes(name):
    import torchrecurrent

    torch.manual_seed(0)
    features = HIDDEN if name == "IntersectionRNNCell" else 3
    cell = getattr(torchrecurrent, name)(features, HIDDEN)
    inputs = torch.randn(1, 35, features, generator=torch.Generator().manual_seed(2))
    zero = torch.zeros(1, HIDDEN, dtype=F64)
    state = (zero, zero.clone()) if name in DOUBLE else zero
    if name in ("TGRUCell", "TLSTMCell"):  # their state holds the last input too
        state = zero, torch.zeros(1, features, dtype=F64)
    hold_to_the_loop(cell, inputs, state, False)
