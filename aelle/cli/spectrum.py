"""`aelle spectrum`: Lyapunov spectra of the recurrent layers in a checkpoint."""

from __future__ import annotations

import math
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from aelle.cli import arguments
from aelle.cli.output import tell

if TYPE_CHECKING:
    from torch import nn

    from aelle.spectra import LyapunovSpectrum

SHOWN = 8
"""Leading exponents printed, and the last one."""


@click.command()
@click.argument("checkpoint", type=arguments.PATH)
@click.option(
    "--inputs",
    type=arguments.PATH,
    help="Array (.npy) of sequences × steps × features [default: white noise].",
)
@click.option("--sequences", type=click.IntRange(1), default=4, show_default=True, help="Sequences of noise.")
@click.option(
    "--steps",
    type=click.IntRange(1),
    default=500,
    show_default=True,
    help="Steps of noise after the warm-up.",
)
@click.option(
    "--warmup", type=click.IntRange(0), default=100, show_default=True, help="First steps, not measured."
)
@click.option(
    "--scale",
    type=click.FloatRange(0),
    default=1.0,
    show_default=True,
    help="Standard deviation of the noise.",
)
@click.option("--seed", type=click.IntRange(0), default=0, show_default=True, help="Of the noise.")
@click.option("--k", type=click.IntRange(1), help="Number of leading exponents [default: all].")
@click.option(
    "--state",
    type=click.Choice(["full", "hidden"]),
    default="full",
    show_default=True,
    help="Which Jacobian: s or h.",
)
@click.option(
    "--nonlinearity", type=click.Choice(["tanh", "relu"]), help="Of RNNs, which no parameter tells."
)
@click.option("--part", help="Only the recurrent module of this name.")
@click.option("--key", help="Which of several sets of parameters in the file.")
@click.option(
    "--plot", type=arguments.PATH, help="Write the figure (.html; .png, .svg and .pdf need kaleido)."
)
@arguments.as_json
def spectrum(checkpoint: Path, plot: Path | None, as_json: bool, **options: Any) -> None:
    """Take Lyapunov spectra of the recurrent layers in a checkpoint: safetensors, or a state_dict that torch saved.

    Layers are found by torch's names and shapes of their parameters. Each module is driven by white noise, or by the
    array given, from a state of zero. No code in the file is ever run.
    """
    from aelle.modules.state_dict import read_state_dict, recurrent_modules

    _require_drawable(plot)
    tensors = read_state_dict(checkpoint, options["key"])
    modules = _chosen(recurrent_modules(tensors, options["nonlinearity"]), options["part"])
    found: dict[str, tuple[nn.Module, dict[str, LyapunovSpectrum]]] = {
        place: (module, _spectra(place, module, options)) for place, module in modules.items()
    }
    if as_json:
        arguments.print_json({"checkpoint": str(checkpoint), "modules": _as_data(found)})
    else:
        tell("\n\n".join(_in_words(place, *each) for place, each in found.items()))
    if plot is not None:
        named = {
            " ".join(filter(None, (p, d))): s for p, (_, spectra) in found.items() for d, s in spectra.items()
        }
        _draw(plot, named, checkpoint.name)
        if not as_json:
            tell(f"wrote {plot}")


def _chosen(modules: dict[str, nn.Module], part: str | None) -> dict[str, nn.Module]:
    from aelle.words import hint

    if part is None:
        return modules
    if part not in modules:
        raise ValueError(f"--part: no recurrent module {part!r}; {hint(part, modules)}")
    return {part: modules[part]}


def _spectra(place: str, module: nn.Module, options: dict[str, Any]) -> dict[str, LyapunovSpectrum]:
    """The spectrum of a module by direction of time; "" where it has one."""
    from aelle.spectra import lyapunov_spectrum

    inputs = _noise(module, options) if options["inputs"] is None else _array(options["inputs"])
    try:
        found = lyapunov_spectrum(
            module, inputs, warmup=options["warmup"], k=options["k"], state=options["state"]
        )
    except ValueError as error:
        raise ValueError(f"{place}: {error}" if place else str(error)) from error
    return found if isinstance(found, dict) else {"": found}


def _noise(module: Any, options: dict[str, Any]) -> Any:
    import torch

    size = options["sequences"], options["warmup"] + options["steps"], module.input_size
    generator = torch.Generator().manual_seed(options["seed"])
    return options["scale"] * torch.randn(size, generator=generator, dtype=torch.float64)


def _array(path: Path) -> Any:
    """Sequences (batch, steps, features) of an array file; never unpickled."""
    import numpy as np
    import torch

    try:
        array = np.load(path, allow_pickle=False)
    except FileNotFoundError:
        raise ValueError(f"{path}: no such file") from None
    except (OSError, ValueError, EOFError) as error:
        raise ValueError(f"{path}: not an array of numbers as numpy.save writes it: {error}") from error
    if not isinstance(array, np.ndarray):
        array.close()
        raise ValueError(f"{path}: holds several arrays; give one, as numpy.save writes it (.npy)")
    if array.dtype.kind not in "fiu" or array.ndim not in (2, 3):
        raise ValueError(
            f"{path}: expected numbers of shape (sequences, steps, features) or (steps, features), got {array.dtype} of "
            f"shape {array.shape}"
        )
    return torch.as_tensor(array if array.ndim == 3 else array[None], dtype=torch.float64)


def _described(module: Any) -> str:
    kind = type(module).__name__
    kind += f" ({module.nonlinearity})" if "RNN" in kind else ""
    layers = getattr(module, "num_layers", 1)
    several = f", {layers} layers" if layers > 1 else ""
    both = ", bidirectional" if getattr(module, "bidirectional", False) else ""
    return f"{kind} of {module.hidden_size} units{several}{both}, {module.input_size} inputs"


def _in_words(place: str, module: nn.Module, spectra: dict[str, LyapunovSpectrum]) -> str:
    lines = [f"{place + ': ' if place else ''}{_described(module)}"]
    for direction, found in spectra.items():
        lines += [f"\n{direction} in time"] if direction else []
        lines += [
            f"  {found.sequences} × {found.steps} steps after {found.warmup}, {found.state} state, {found.rate_unit}",
            f"  λ₁ {float(found.exponents[0]):.4f} ± {float(found.standard_error[0]):.4f}: {_meaning(found)}",
            f"  mean of {len(found)} {float(found.exponents.mean()):.4f}, Kaplan-Yorke dimension {found.kaplan_yorke_dimension:.3g}, "
            f"trusted {found.trusted}",
        ]
        lines += [f"  not converged: {doubt}" for doubt in found.doubts]
        frame = found.to_frame()
        rows = [*range(min(SHOWN, len(frame))), *([len(frame) - 1] if len(frame) > SHOWN else [])]
        lines += [f"  {'i':>5}  {'exponent':>10}  {'error':>8}"]
        for i in rows:
            gap = ["      …"] if i > SHOWN else []
            row = frame.iloc[i]
            mark = "" if row["trusted"] else "  rounding noise"
            lines += [*gap, f"  {i + 1:>5}  {row['exponent']:>10.4f}  {row['standard_error']:>8.4f}{mark}"]
    return "\n".join(lines)


def _meaning(found: LyapunovSpectrum) -> str:
    largest, error = float(found.exponents[0]), float(found.standard_error[0])
    if not largest < math.inf:
        return "the state grows beyond all numbers"
    if largest == -math.inf:
        return "every state is forgotten in one step"
    if not math.isfinite(error):
        return "too few steps for an error"
    if largest > 3 * error:
        return "chaotic; small differences grow"
    if largest < -3 * error:
        return f"contracting; what lies 1/|λ₁| = {1 / -largest:.3g} steps back has faded to 1/e"
    return "at the edge, within three standard errors of 0"


def _as_data(found: dict[str, tuple[Any, dict[str, LyapunovSpectrum]]]) -> dict[str, Any]:
    from aelle.records import without_nan

    return {
        place: {
            "module": _described(module),
            "spectra": {
                direction or "forward": without_nan(
                    {
                        "exponents": each.exponents.tolist(),
                        "standard_errors": each.standard_error.tolist(),
                        "unit": each.rate_unit,
                        "state": each.state,
                        "sequences": each.sequences,
                        "steps": each.steps,
                        "warmup": each.warmup,
                        "trusted": each.trusted,
                        "kaplan_yorke_dimension": each.kaplan_yorke_dimension,
                        "converged": each.converged,
                        "doubts": each.doubts,
                    }
                )
                for direction, each in spectra.items()
            },
        }
        for place, (module, spectra) in found.items()
    }


def _require_drawable(path: Path | None) -> None:
    import importlib.util

    if path is None or path.suffix == ".html":
        return
    if path.suffix not in (".png", ".svg", ".pdf"):
        raise ValueError(
            f"--plot: a figure is written as .html, .png, .svg or .pdf, not {path.suffix or 'without an ending'!r}"
        )
    if importlib.util.find_spec("kaleido") is None:
        raise ValueError(f"--plot: {path.suffix} needs kaleido (pip install kaleido); .html needs nothing")


def _draw(path: Path, spectra: dict[str, LyapunovSpectrum], title: str) -> None:
    from aelle import plot
    from aelle.records.atomic import write_bytes

    figures = [plot.spectrum(found, title=f"{title} {name}".strip()) for name, found in spectra.items()]
    if path.suffix == ".html":
        parts = [f.to_html(full_html=False, include_plotlyjs=i == 0) for i, f in enumerate(figures)]
        write_bytes(path, ("<!doctype html><meta charset='utf-8'>" + "\n".join(parts)).encode())
        return
    for i, figure in enumerate(figures):
        numbered = path if len(figures) == 1 else path.with_stem(f"{path.stem}-{i + 1}")
        write_bytes(numbered, figure.to_image(format=path.suffix[1:]))
