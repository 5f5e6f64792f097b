"""Spectra travel between processes and through files."""

import pickle
import subprocess
import sys
from concurrent.futures import ProcessPoolExecutor
from dataclasses import fields
from multiprocessing import get_context

import pytest
import torch
from torch import nn

from aelle.lyapunov.growth import Growth
from aelle.spectra import DrivenMap, LyapunovSpectrum, lyapunov_spectrum

F64 = torch.float64


def doubling(_, s):
    return 0.7 * torch.tanh(2 * s)


def of_a_map(_=None):
    start = torch.tensor([[0.1, 0.2], [0.3, -0.4]], dtype=F64)
    return lyapunov_spectrum(DrivenMap(doubling, 2), steps=100, initial_state=start)


def of_a_local_map():
    return lyapunov_spectrum(DrivenMap(lambda x, s: 0.5 * s + x, 2), torch.randn(3, 80, 2))


def of_a_stack():
    torch.manual_seed(0)
    return lyapunov_spectrum(nn.GRU(3, 4, num_layers=2), torch.randn(4, 90, 3), k=5)


def of_a_flow():
    return lyapunov_spectrum(DrivenMap(doubling, 2, dt=0.01), steps=100)


MAKERS = [of_a_map, of_a_local_map, of_a_stack, of_a_flow, lambda: of_a_stack().in_bits()]


def assert_same(found, spectrum):
    for part in fields(Growth):
        one, other = getattr(found.growth, part.name), getattr(spectrum.growth, part.name)
        torch.testing.assert_close(one, other, rtol=1e-12, atol=1e-17)
    for name in ("exponents", "standard_error", "rounding_error"):
        assert torch.equal(getattr(found, name), getattr(spectrum, name))
    for name in ("warmup", "unit", "dt", "state", "steps", "trusted", "converged", "doubts"):
        assert getattr(found, name) == getattr(spectrum, name)
    assert len(found.layers) == len(spectrum.layers)
    for one, other in zip(found.layers, spectrum.layers, strict=True):
        assert torch.equal(one.exponents, other.exponents)
    assert torch.equal(found.position.states[0], spectrum.position.states[0])
    assert repr(found) == repr(spectrum)
    with pytest.raises(ValueError, match="can be continued"):
        found.continue_(steps=5)


@pytest.mark.parametrize("make", MAKERS)
def test_pickled(make):
    spectrum = make()
    assert_same(pickle.loads(pickle.dumps(spectrum)), spectrum)


@pytest.mark.parametrize("make", MAKERS)
def test_saved_and_loaded(make, tmp_path):
    spectrum = make()
    spectrum.save(tmp_path / "one.safetensors")
    assert_same(LyapunovSpectrum.load(str(tmp_path / "one.safetensors")), spectrum)


def test_pickling_leaves_the_spectrum_itself_as_it_was():
    spectrum = of_a_map()
    pickle.dumps(spectrum)
    assert spectrum.continue_(steps=50).steps == 150


@pytest.mark.slow
def test_from_another_process():
    with ProcessPoolExecutor(1, mp_context=get_context("spawn")) as pool:
        found = pool.submit(of_a_map).result()
    assert_same(found, of_a_map())


@pytest.mark.parametrize("content", [b"", b"not tensors", b"{}" * 50])
def test_other_files_are_refused_in_one_line(tmp_path, content):
    path = tmp_path / "other"
    path.write_bytes(content)
    with pytest.raises(ValueError, match="other: holds no spectrum") as raised:
        LyapunovSpectrum.load(path)
    assert "\n" not in str(raised.value)
    with pytest.raises(FileNotFoundError):
        LyapunovSpectrum.load(tmp_path / "nothing")


def test_loading_runs_no_code(tmp_path):
    of_a_map().save(tmp_path / "a")
    code = (
        "import sys, pickle; pickle.Unpickler = None; pickle.loads = None; pickle.load = None\n"
        f"from aelle.spectra import LyapunovSpectrum; LyapunovSpectrum.load({str(tmp_path / 'a')!r})"
    )
    done = subprocess.run([sys.executable, "-W", "ignore", "-c", code], capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
