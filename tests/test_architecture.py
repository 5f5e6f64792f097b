"""The allowed imports inside aelle, and the cost of importing it."""

import ast
import re
import subprocess
import sys
from graphlib import CycleError, TopologicalSorter
from pathlib import Path

import pytest

PACKAGE = Path(__file__).parent.parent / "aelle"
ALLOWED = {
    "kernels": set(),
    "files": set(),
    "hyperparameters": set(),
    "optimiser": set(),
    "registry": {"words"},
    "words": set(),
    "lyapunov": {
        "kernels",
        "plot",
        "words",
    },  # a result shows itself by the one figure of spectra that there is
    "records": {"files", "hyperparameters", "words"},
    "config": {"files", "hyperparameters", "words"},
    "recurrent": {"kernels", "registry", "words"},
    "tasks": {"files", "registry", "optimiser", "words"},  # gradient descent is one of the learning rules
    "modules": {"lyapunov", "recurrent", "words"},
    "proxies": set(),  # torch alone: of any network
    "spectra": {"lyapunov", "recurrent", "modules"},
    "conditioning": {"lyapunov", "modules", "optimiser", "plot", "recurrent", "registry", "spectra"},
    "collection": {
        "conditioning",
        "modules",
        *("config", "hyperparameters", "lyapunov", "optimiser", "records", "recurrent", "spectra", "tasks"),
        "words",
    },
    "embedding": {"files", "config", "hyperparameters", "lyapunov", "optimiser", "records", "words"},
    "prediction": {"files", "words", "embedding", "records", "config", "hyperparameters"},
    "integrations": {
        *("prediction", "spectra", "recurrent", "hyperparameters", "records", "modules"),
        "lyapunov",  # the dimension of the exponents of a look
    },
    "explorer": {
        "config",
        "embedding",
        "hyperparameters",
        "records",
    },  # of embedding the transforms, without torch
    "plot": {"explorer"},
    "interchange": {"files", "config", "records", "recurrent", "hyperparameters", "words"},
    "testing": {"recurrent", "tasks", "collection", "records", "config"},  # faults are put into a collection
}


def room(path):
    return path.relative_to(PACKAGE).parts[0].removesuffix(".py")


def imports(path):
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            assert node.level == 0, f"{path}: write imports out in full"
            yield node.module or ""


FILES = sorted(p for p in PACKAGE.rglob("*.py") if room(p) not in ("__init__", "__main__", "cli"))


@pytest.mark.parametrize("path", FILES, ids=lambda p: str(p.relative_to(PACKAGE)))
def test_a_room_imports_only_the_rooms_it_may(path):
    used = {name.split(".")[1] for name in imports(path) if name.startswith("aelle.")}
    assert "aelle" not in imports(path), "nothing inside imports from the package root"
    assert used - {room(path)} <= ALLOWED[room(path)]


def module(path):
    parts = path.relative_to(PACKAGE.parent).with_suffix("").parts
    return ".".join(parts[:-1] if parts[-1] == "__init__" else parts)


def imported(path, modules):
    """Modules of aelle that this one imports anywhere: as it is imported, inside functions, or for types alone."""
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names if alias.name in modules)
        elif isinstance(node, ast.ImportFrom):
            for alias in node.names:
                inner = f"{node.module}.{alias.name}"
                yield inner if inner in modules else node.module


def circle(paths):
    """Modules that import each other in a circle; empty where there is none."""
    graph = {name: {i for i in imported(path, paths) if i in paths} for name, path in paths.items()}
    try:
        list(TopologicalSorter(graph).static_order())
    except CycleError as error:
        return error.args[1]
    return []


def test_no_modules_import_each_other_in_a_circle():
    """Nor inside functions or for types, which hide a circle and do not undo it.

    The package root counts not: it names what is public, and nothing inside imports from it.
    """
    paths = {module(path): path for path in PACKAGE.rglob("*.py") if path != PACKAGE / "__init__.py"}
    assert circle(paths) == []


@pytest.mark.parametrize(
    "hidden",
    ["def f():\n    import b\n", "from typing import TYPE_CHECKING\nif TYPE_CHECKING:\n    import b\n"],
)
def test_a_hidden_circle_is_found(tmp_path, hidden):
    paths = {name: tmp_path / f"{name}.py" for name in ("a", "b", "c")}
    for name, text in (("a", hidden), ("b", "import c\n"), ("c", "")):
        paths[name].write_text(text)
    assert circle(paths) == []
    paths["c"].write_text("from a import f\n")
    assert set(circle(paths)) == {"a", "b", "c"}


def test_the_explorer_never_imports_torch():
    """Nor does anything that it imports, seen in a process of its own."""
    for path in (PACKAGE / "explorer").rglob("*.py"):
        assert not any(name.split(".")[0] == "torch" for name in imports(path)), path
    names = ", ".join(module(path) for path in (PACKAGE / "explorer").rglob("*.py"))
    code = f"import sys, {names}; sys.exit('torch' in sys.modules)"
    found = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True)
    assert found.returncode == 0, found.stderr


def test_lyapunov_knows_no_modules_and_no_files():
    for path in (PACKAGE / "lyapunov").rglob("*.py"):
        assert "nn.Module" not in path.read_text(), path
        assert "pathlib" not in set(imports(path)), path


@pytest.mark.parametrize(
    "words, home",
    [
        (r"get_close_matches", "words.py"),
        (r"splitlines\(\)( or |\[0\])", "words.py"),
        (r"arange\(\w+\) \+ 0\.5", "records/normalised_index.py"),
        (r"^def xyz", "explorer/figures/frame.py"),
        (r"^def (best_of|best_metric|better)\b", "records/outcome.py"),
        (r"^HYPERPARAMETERS\b", "hyperparameters.py"),
        (r"def _?without_nan|None if isinstance\(\w+, float\)", "records/atomic.py"),
    ],
)
def test_a_helper_has_one_home(words, home):
    found = [p for p in PACKAGE.rglob("*.py") if re.search(words, p.read_text(), re.M)]
    assert [str(p.relative_to(PACKAGE)) for p in found] == [home]


def test_importing_aelle_imports_nothing_heavy():
    heavy = "{'torch', 'numpy', 'pandas', 'sklearn', 'umap', 'plotly', 'dash'}"
    for module in ("aelle", "aelle.cli"):
        code = f"import sys, {module}; sys.exit(', '.join({heavy} & set(sys.modules)) or 0)"
        found = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True)
        assert found.returncode == 0, f"importing {module} imports {found.stderr}"


def test_every_public_name_is_found():
    import aelle

    for name in aelle.__all__:
        assert getattr(aelle, name) is not None
    with pytest.raises(AttributeError, match="no attribute 'nothing'"):
        _ = aelle.nothing


TESTS = sorted(Path(__file__).parent.glob("*.py"))


@pytest.mark.parametrize("path", TESTS, ids=lambda p: p.name)
def test_no_test_module_is_imported_from(path):
    # In strings too: what a test hands to another process.
    found = re.findall(
        r"^\s*(?:from tests\.test_\w+ import|import tests\.test_\w+).*", path.read_text(), re.M
    )
    assert not found, "helpers that tests share live in conftest.py or a helper module"
