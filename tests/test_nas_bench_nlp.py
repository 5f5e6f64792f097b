"""Recipes of NAS-Bench-NLP: modules, twins, what is measured of them, and the command."""

import importlib
import json
import math
import sys
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pandas as pd
import pytest
import torch

import aelle

FOLDER = Path(__file__).parent.parent / "experiments" / "nas_bench_nlp"
NAMES = ("recipe", "runs", "text", "untrained", "store", "judge", "predict")
GRU = {
    "r": {"op": "linear", "input": ["x", "h_prev_0"]},
    "r_act": {"op": "activation_sigm", "input": ["r"]},
    "z": {"op": "linear", "input": ["x", "h_prev_0"]},
    "z_act": {"op": "activation_sigm", "input": ["z"]},
    "rh": {"op": "elementwise_prod", "input": ["r_act", "h_prev_0"]},
    "c": {"op": "linear", "input": ["x", "rh"]},
    "c_act": {"op": "activation_tanh", "input": ["c"]},
    "h_new_0": {"op": "blend", "input": ["z_act", "h_prev_0", "c_act"]},
}
ELMAN = {
    "f": {"op": "linear", "input": ["x", "h_prev_0"]},
    "h_new_0": {"op": "activation_tanh", "input": ["f"]},
}
LINEAR = {"h_new_0": {"op": "linear", "input": ["x", "h_prev_0"]}}
TWO = {  # two parts, each reading the other
    "a": {"op": "linear", "input": ["x", "h_prev_1"]},
    "h_new_0": {"op": "activation_tanh", "input": ["a"]},
    "h_new_1": {"op": "elementwise_sum", "input": ["a", "h_prev_0"]},
}


@pytest.fixture(scope="module")
def nas():
    """The modules beside the command, whose names are nobody else's afterwards."""
    sys.path.insert(0, str(FOLDER))
    before = {name: sys.modules.pop(name) for name in NAMES if name in sys.modules}
    yield SimpleNamespace(**{name: importlib.import_module(name) for name in NAMES})
    sys.path.remove(str(FOLDER))
    for name in NAMES:
        sys.modules.pop(name, None)
    sys.modules.update(before)


def parameters(cell):
    return {name: value.detach().numpy() for name, value in cell.weights.items()}


def test_a_recipe_of_a_gated_unit_steps_as_its_formula_says(nas):
    cell = nas.recipe.RecipeCell(GRU, 3, 4).double()
    x, h = torch.randn(2, 3, dtype=torch.float64), torch.randn(2, 4, dtype=torch.float64)
    p, sigma = parameters(cell), lambda v: 1 / (1 + np.exp(-v))
    a, b = x.numpy(), h.numpy()
    r, z = (sigma(a @ p[f"{n}:0"].T + b @ p[f"{n}:1"].T + p[f"{n}:bias"]) for n in ("r", "z"))
    c = np.tanh(a @ p["c:0"].T + (r * b) @ p["c:1"].T + p["c:bias"])
    output, state = cell(x, (h,))
    np.testing.assert_allclose(output.detach().numpy(), z * b + (1 - z) * c, atol=1e-14)
    assert len(state) == 1
    assert torch.equal(state[0], output)


def test_a_network_has_the_parameters_that_the_runs_counted(nas):
    network = nas.recipe.RecipeNetwork(ELMAN, (400, 600, 600, 400))
    embeddings = 33278 * 400 + 33278  # WikiText-2's words, tied to the readout, which has a bias
    assert sum(p.numel() for p in network.parameters()) + embeddings == 15066078
    bound = max(float(p.detach().abs().max()) for p in network.layers[0].parameters())
    assert 0.99 / math.sqrt(600) < bound <= 1 / math.sqrt(600)


def test_the_front_door_takes_a_recipe(nas):
    cell = nas.recipe.RecipeCell(LINEAR, 2, 6).double()
    eigenvalues = np.linalg.eigvals(parameters(cell)["h_new_0:1"])
    expected = np.sort(np.log(np.abs(eigenvalues)))[::-1]
    found = aelle.lyapunov_spectrum(cell, torch.randn(2, 4000, 2, dtype=torch.float64), warmup=200)
    np.testing.assert_allclose(found.exponents.numpy(), expected, atol=2e-3)
    assert aelle.lyapunov_spectrum(
        nas.recipe.RecipeCell(TWO, 2, 3), torch.randn(2, 30, 2), warmup=5
    ).exponents.shape == (6,)


def renamed(recipe, names):
    return {
        names.get(n, n): {"op": node["op"], "input": [names.get(i, i) for i in node["input"]]}
        for n, node in recipe.items()
    }


def test_twins_are_told_whatever_their_nodes_are_called(nas):
    text = nas.recipe.architecture
    assert text(renamed(GRU, {"r": "node_7", "c_act": "zz"})) == text(GRU)
    assert text(dict(reversed(GRU.items()))) == text(GRU)
    assert text(GRU | {"r": {"op": "linear", "input": ["h_prev_0", "x"]}}) == text(GRU)
    assert text(GRU | {"unread": {"op": "activation_tanh", "input": ["x"]}}) == text(GRU)
    assert text(GRU | {"h_new_0": {"op": "blend", "input": ["z_act", "c_act", "h_prev_0"]}}) != text(GRU)
    three = TWO | {"h_new_2": {"op": "activation_sigm", "input": ["h_prev_2"]}}
    swap = {"h_new_1": "h_new_2", "h_new_2": "h_new_1", "h_prev_1": "h_prev_2", "h_prev_2": "h_prev_1"}
    assert text(renamed(three, swap)) == text(three)
    swap = {"h_new_1": "h_new_0", "h_new_0": "h_new_1", "h_prev_1": "h_prev_0", "h_prev_0": "h_prev_1"}
    assert text(renamed(TWO, swap)) != text(TWO), "the first part is what a layer passes on"


def test_one_node_read_twice_is_no_twin_of_two_nodes(nas):
    shared = {
        "a": {"op": "linear", "input": ["x", "h_prev_0"]},
        "h_new_0": {"op": "elementwise_prod", "input": ["a", "a"]},
    }
    apart = shared | {"b": shared["a"], "h_new_0": {"op": "elementwise_prod", "input": ["a", "b"]}}
    assert nas.recipe.architecture(shared) != nas.recipe.architecture(apart)


@pytest.mark.parametrize(
    "change, words",
    [
        ({"f": {"op": "conv", "input": ["x"]}}, "unknown operation 'conv'; known: linear"),
        ({"f": {"op": "activation_wave", "input": ["x"]}}, "unknown activation 'activation_wave'"),
        ({"f": {"op": "linear", "input": ["x", "g"]}}, "reads 'g', which is no node"),
        ({"f": {"op": "linear", "input": ["x", "h_prev_1"]}}, "reads 'h_prev_1'"),
        ({"f": {"op": "linear", "input": ["h_new_0"]}}, "wait for each other"),
        ({"f": {"op": "blend", "input": ["x", "x"]}}, "takes 3 inputs, got 2"),
        ({"f": {"op": "linear", "input": []}}, "reads nothing"),
        ({"f": {"op": "linear", "input": "x"}}, "no list of inputs"),
        ({"f": {"input": ["x"]}}, "no operation"),
        ({"f": 3}, "no operation"),
        ({"x": {"op": "linear", "input": ["h_prev_0"]}}, "a node is called 'x'"),
    ],
)
def test_a_recipe_that_is_no_cell_is_refused(nas, change, words):
    with pytest.raises(nas.recipe.RecipeError, match=words):
        nas.recipe.architecture(ELMAN | change)


@pytest.mark.parametrize("recipe", [{}, [], None, {"f": {"op": "linear", "input": ["x"]}}])
def test_a_recipe_without_a_new_state_is_refused(nas, recipe):
    with pytest.raises(nas.recipe.RecipeError):
        nas.recipe.architecture(recipe)


@pytest.mark.parametrize("op", ["sigmoid", "relu", "gelu", "leakyrelu", "softplus", "identity"])
def test_operations_that_the_file_does_not_use_are_taken(nas, op):
    recipe = ELMAN | {"h_new_0": {"op": f"activation_{op}", "input": ["f"]}}
    output, _ = nas.recipe.RecipeCell(recipe, 2, 3)(torch.randn(4, 2), (torch.zeros(4, 3),))
    assert output.shape == (4, 3)


def line(recipe, losses, **more):
    return {"recipe": recipe, "val_losses": losses, "train_losses": losses, "status": "OK"} | more


def test_bad_lines_are_left_out_and_said(nas, tmp_path):
    path = tmp_path / "runs.jsonl"
    short = {"settings": {"epochs": 3}}
    lines = [
        json.dumps(line(ELMAN, [5, 4.0, 3], recipe_id=7, num_params=10, **short)),
        "{",
        json.dumps(line(ELMAN | {"f": {"op": "conv", "input": ["x"]}}, [5, 4, 3], **short)),
        json.dumps({"recipe": ELMAN}),
        json.dumps(line(json.dumps(GRU), [5, math.nan], status="loss is nan!", **short)),
        json.dumps(line(ELMAN, [5, 4], **short)),
        "[1]",
        "",
        json.dumps(line(ELMAN, [5, None, 4], **short)),
    ]
    path.write_text("\n".join(lines))
    runs, left_out = nas.runs.read_runs(path)
    assert [run.name for run in runs] == ["00001-7", "00005-run", "00009-run"]
    assert [run.diverged for run in runs] == [False, True, True]
    for words, number, why in zip(
        left_out,
        (2, 3, 4, 6, 7),
        ("no JSON", "'conv'", "'val_losses'", "ends after 2 of 3", "object"),
        strict=True,
    ):
        assert f"line {number}: left out" in words
        assert why in words.splitlines()[0]
    path.write_text("{\n")
    with pytest.raises(nas.runs.RunsError, match="none of its 1 lines"):
        nas.runs.read_runs(path)
    for missing in (tmp_path / "none.jsonl", tmp_path / "none.jsonl.gz"):
        with pytest.raises(nas.runs.RunsError, match="cannot be read"):
            nas.runs.read_runs(missing)


def test_growth_of_a_linear_layer_is_that_of_its_powers(nas):
    network = nas.recipe.RecipeNetwork(LINEAR, (5, 5)).double()
    inputs = torch.randn(2, 40, 5, dtype=torch.float64)
    found = nas.untrained.input_growth(network, inputs)
    p = parameters(network.layers[0])
    u = torch.randn(6, 5, generator=torch.Generator().manual_seed(0), dtype=torch.float64).numpy()
    u /= np.linalg.norm(u, axis=1, keepdims=True)
    for lag, value in zip(nas.untrained.LAGS, found, strict=True):
        reach = u @ np.linalg.matrix_power(p["h_new_0:1"], lag) @ p["h_new_0:0"]
        assert value == pytest.approx(np.log(np.linalg.norm(reach, axis=1)).mean(), abs=1e-9)


def test_what_a_linear_readout_finds_in_a_state_that_is_its_input(nas):
    inputs = torch.randn(8, 100, 3, dtype=torch.float64)
    following = torch.randint(50, (8, 100))
    found = nas.untrained._decoded(inputs[:, 30:], inputs, following)
    assert found[0] == pytest.approx(1.0, abs=2e-3), "the input now"
    assert max(found[1:6]) < 0.05, "earlier inputs are independent of it"
    delayed = nas.untrained._decoded(inputs[:, 26:-4], inputs, following)
    assert delayed[4 - 1] == pytest.approx(1.0, abs=2e-3), "the input four steps ago"


def test_a_recipe_that_explodes_is_measured(nas, tmp_path):
    growing = {
        "a": {"op": "elementwise_sum", "input": ["h_prev_0", "h_prev_0"]},
        "b": {"op": "linear", "input": ["x", "a"]},
        "c": {"op": "elementwise_prod", "input": ["a", "a"]},
        "h_new_0": {"op": "elementwise_sum", "input": ["b", "c"]},
    }
    nothing = {"h_new_0": {"op": "activation_tanh", "input": ["h_prev_0"]}}
    unweighted = {"h_new_0": {"op": "elementwise_sum", "input": ["x", "h_prev_0"]}}
    words = torch.arange(3000) % 97
    shapes = set()
    for recipe in (growing, nothing, unweighted, ELMAN, TWO):
        run = nas.runs._run(line(recipe, [5.0], settings={"epochs": 1}), 1)
        found = nas.untrained.measure(run, nas.untrained.Draw(6, 10.0, 0), words)
        shapes.add(tuple((kind, len(values)) for kind, values in found.items()))
        assert all(value != math.inf and value != -math.inf for values in found.values() for value in values)
    assert len(shapes) == 1


def test_twins_share_a_fold(nas):
    architectures = [f"a{i % 40}" for i in range(100)]
    folds = nas.judge.folds_of(architectures)
    assert len({(a, f) for a, f in zip(architectures, folds, strict=True)}) == 40
    assert sorted(set(folds)) == list(range(10))


def test_measuring_goes_on_where_it_was_cut_off(nas, tmp_path, monkeypatch):
    monkeypatch.setattr(nas.store, "DRAWS", (nas.untrained.Draw(4, 1.0, 0),))
    runs = [
        nas.runs._run(line(r, [5.0], settings={"epochs": 1}), i)
        for i, r in enumerate((ELMAN, GRU, TWO, ELMAN))
    ]
    words = torch.arange(3000) % 97
    whole, left = nas.store.fill(tmp_path / "whole.jsonl", runs, words, math.inf)
    assert left == 0
    assert len(whole) == 3, "twins that stand alike are measured once"
    path = tmp_path / "cut.jsonl"
    assert nas.store.fill(path, runs, words, -1)[1] == 3
    content = (tmp_path / "whole.jsonl").read_text()
    path.write_text(content[: len(content) // 2])
    again, left = nas.store.fill(path, runs, words, math.inf)
    assert left == 0
    assert nas.store.read(path).keys() == whole.keys()
    for key in whole:
        assert {k: np.asarray(v).tobytes() for k, v in again[key].items()} == {
            k: np.asarray(v).tobytes() for k, v in whole[key].items()
        }


def synthetic_runs(count):
    """Runs whose best loss follows how far gates are open, with some noise; every fifth a twin of the one before."""
    generator, lines = np.random.default_rng(0), []
    activations = ("tanh", "sigm", "leaky_relu")
    for i in range(count):
        depth = 1 + i % 7
        recipe = {"n0": {"op": "linear", "input": ["x", "h_prev_0"]}}
        for k in range(depth):
            source = f"n{k}" if k % 2 == 0 else f"m{k}"
            recipe[f"m{k + 1}"] = {"op": f"activation_{activations[(i + k) % 3]}", "input": [source]}
            recipe[f"n{k + 1}"] = {"op": "linear", "input": [f"m{k + 1}", "h_prev_0"]}
            recipe[f"m{k + 1}x"] = {"op": "elementwise_sum", "input": [f"m{k + 1}", f"n{k + 1}"]}
        recipe = {
            k: v for k, v in recipe.items() if all(s in recipe or s in ("x", "h_prev_0") for s in v["input"])
        }
        recipe["h_new_0"] = {"op": "activation_tanh", "input": [next(reversed(recipe))]}
        loss = 5 + 0.3 * depth + 0.05 * generator.standard_normal()
        losses = [loss + 2 / epoch + 0.1 * generator.standard_normal() for epoch in range(1, 9)]
        more = {"settings": {"epochs": 8}, "recipe_id": i, "num_params": 1000 * depth}
        lines.append(json.dumps(line(recipe, losses, **more)))
    return lines


@pytest.mark.slow
def test_the_command_predicts_any_such_file_and_learns_from_another(nas, tmp_path, monkeypatch, capsys):
    draws = (nas.untrained.Draw(4, 1.0, 0),)
    monkeypatch.setattr(nas.store, "DRAWS", draws)
    monkeypatch.setattr(nas.judge, "DRAWS", draws)
    monkeypatch.setattr(nas.judge, "RESAMPLES", 50)
    monkeypatch.setattr(nas.judge, "trees", lambda x, y, seed: nas.judge.Forest.extra_trees(x, y, 5, seed))
    lines = synthetic_runs(60)
    broken = json.loads(lines[3]) | {
        "val_losses": [math.nan],
        "train_losses": [math.nan],
        "status": "loss is nan!",
    }
    (tmp_path / "runs.jsonl").write_text("\n".join([*lines[:40], json.dumps(broken), *lines[41:]]))
    (tmp_path / "new.jsonl").write_text("\n".join(lines[:3]))
    (tmp_path / "text.txt").write_text(" ".join(f"w{i % 91}" for i in range(2000)))
    arguments = ["--text", str(tmp_path / "text.txt"), "--out", str(tmp_path / "out")]
    monkeypatch.setattr(
        "sys.argv", ["predict.py", str(tmp_path / "runs.jsonl"), *arguments, "--minutes", "-1"]
    )
    assert nas.predict.main() == 0
    assert "run the command again" in capsys.readouterr().out
    monkeypatch.setattr("sys.argv", ["predict.py", str(tmp_path / "runs.jsonl"), *arguments])
    assert nas.predict.main() == 0
    found = pd.read_csv(tmp_path / "out" / "correlations.csv").set_index(["epoch", "method"])
    assert set(found.index.get_level_values("epoch")) == {0, 1, 3, 5}
    assert found.loc[(0, "parameters"), "networks"] == 60
    assert found.loc[(1, "last value"), "networks"] == 59, "one had diverged"
    assert found.loc[(0, nas.judge.OURS), "spearman"] > 0.5
    new = ["predict.py", str(tmp_path / "new.jsonl"), "--learn-from"]
    monkeypatch.setattr("sys.argv", [*new, str(tmp_path / "runs.jsonl"), *arguments])
    assert nas.predict.main() == 0
    predicted = pd.read_parquet(tmp_path / "out" / "predictions.parquet")
    assert set(predicted["network_id"]) == {"00001-0", "00002-1", "00003-2"}
    monkeypatch.setattr("sys.argv", [*new, str(tmp_path / "new.jsonl"), *arguments])
    assert nas.predict.main() == 2, "none is left where all twins of what is predicted are taken away"
    assert "0 runs to learn from; at least 40 are needed" in capsys.readouterr().err
