"""Latents and coordinates for other tools."""

import numpy as np
import pandas as pd
import pytest

from aelle.explorer.data import load
from aelle.explorer.errors import ExplorerError
from aelle.explorer.export import write_points, write_projector
from aelle.explorer.projection import pca
from aelle.records import write_frame
from tests.explorer_folder import write_explorer_folder


@pytest.fixture(scope="module")
def data(tmp_path_factory):
    folder = write_explorer_folder(tmp_path_factory.mktemp("experiment"), networks=20)
    latents = pd.read_parquet(folder.latents)
    latents["note"] = "a\tb\nc"
    write_frame(folder.latents, latents)
    return load(folder)


def test_parquet_with_coordinates(data, tmp_path):
    projection = pca(data.points[data.latent_columns])
    write_points(data, projection, tmp_path / "points.parquet")
    table = pd.read_parquet(tmp_path / "points.parquet")
    np.testing.assert_array_equal(table[["x", "y"]], projection.coordinates[:, :2])
    assert table["text"][0] == "000000000000, rnn of 16, epoch 0"
    assert {"final_metric", "architecture", "epoch", "latent_0"} <= set(table)
    assert table.columns.is_unique


def test_projector_files_have_a_row_a_point(data, tmp_path):
    vectors, metadata = write_projector(data, tmp_path)
    values = np.loadtxt(vectors, delimiter="\t")
    np.testing.assert_allclose(values, data.points[data.latent_columns].to_numpy(), rtol=1e-6)
    lines = metadata.read_text("utf-8").splitlines()
    assert len(lines) == len(values) + 1
    assert {line.count("\t") for line in lines} == {lines[0].count("\t")}
    assert "a b c" in lines[1]


def test_without_latents(tmp_path):
    data = load(write_explorer_folder(tmp_path, networks=6, latents=False, predictions=False))
    with pytest.raises(ExplorerError, match="aelle train"):
        write_projector(data, tmp_path)


def test_a_table_for_a_spreadsheet_holds_no_formulas():
    from aelle.explorer.callbacks.table import without_formulas

    frame = pd.DataFrame({"network_id": ["=1+1", "-x", "@a", "+b", "\tc", "n-1", None], "value": [-1.5] * 7})
    found = without_formulas(frame)
    assert found["network_id"].tolist()[:6] == ["'=1+1", "'-x", "'@a", "'+b", "'\tc", "n-1"]
    assert found["value"].tolist() == [-1.5] * 7
