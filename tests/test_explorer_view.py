"""Links that restore a view, filters, and what is special about a selection."""

import json
import shutil
import sys

import numpy as np
import pandas as pd
import pytest

from aelle.explorer import umap_job
from aelle.explorer.callbacks.table import selected_rows
from aelle.explorer.contrast import contrasts, exponents_in_words, in_words
from aelle.explorer.data import load
from aelle.explorer.errors import ExplorerError
from aelle.explorer.filters import column_range, filter_mask, known_filters
from aelle.explorer.groups import Group
from aelle.explorer.projection import umap
from aelle.explorer.search import search
from aelle.explorer.source import Source
from aelle.explorer.view import LONGEST_LINK, View, from_query, to_query
from tests.explorer_folder import write_explorer_folder

IDS = [f"{k:012x}" for k in range(3000)]


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    return write_explorer_folder(tmp_path_factory.mktemp("experiment"))


@pytest.fixture(scope="module")
def data(folder):
    return load(folder)


@pytest.mark.parametrize("many", [0, 1, 40, 41, 1500, 3000])
def test_a_link_restores_the_view(many):
    chosen = list(np.random.default_rng(many).permutation(IDS)[:many])
    view = View(
        colour="a&b=<c>", epoch=3, dimensions=3, tab="special", focus=IDS[7],
        filters={"init gain": [0.5, None], "kind": ["x", "y&z"]}, a=sorted(chosen), b=[IDS[0]],
    )  # fmt: skip
    assert from_query(to_query(view, IDS), IDS) == View(**{**view.__dict__, "b": [IDS[0]]})


def test_links_stay_short_and_leave_out_what_does_not_fit():
    ids = [f"{k:012x}" for k in range(200_000)]
    chosen = [
        name for name, keep in zip(ids, np.random.default_rng(0).random(len(ids)) < 0.5, strict=True) if keep
    ]
    link = to_query(View(colour="epoch", a=chosen), ids)
    assert len(link) <= LONGEST_LINK
    assert from_query(link, ids) == View(colour="epoch", a=[], b=[])


@pytest.mark.parametrize(
    "link",
    ["", "?", "a=z:0000000000:AAAA", "a=z::", "a=i:unknown", "filters={", "filters=[1]", "filters={\"x\":3}", "epoch=-1",
     "epoch=abc", "dimensions=9e9", "surprise=1", "a=%00%ff"],
)  # fmt: skip
def test_links_that_cannot_be_read_open_the_default(link):
    view = from_query(link, IDS)
    assert view.a == []
    assert view.filters == {}
    assert view.epoch is None


def test_a_packed_selection_of_other_networks_is_passed_over():
    link = to_query(View(a=IDS[:100]), IDS)
    assert from_query(link, IDS[1:]).a == []


def test_filters_on_quantities_and_kinds(data):
    points = data.points
    keep = filter_mask(points, {"init_gain": [2, 6], "architecture": ["lstm"], "gone": [0, 1]})
    expected = points["init_gain"].between(2, 6) & (points["architecture"] == "lstm")
    np.testing.assert_array_equal(keep, expected)
    open_end = filter_mask(points, {"init_gain": [None, 6]})
    np.testing.assert_array_equal(open_end, points["init_gain"] <= 6)
    assert filter_mask(points, {"init_gain": ["nonsense"]}).all()
    low, high = column_range(points, "init_gain")
    assert filter_mask(points, {"init_gain": [low, high]}).all()


def test_a_closed_range_leaves_out_missing_values():
    points = pd.DataFrame({"x": [1.0, np.nan, 30.5]})
    assert filter_mask(points, {"x": [0, 40]}).tolist() == [True, False, True]


def test_what_is_special_is_what_differs(data):
    gain = data.networks["init_gain"]
    high, low = gain.index[gain > 9].tolist(), gain.index[gain <= 9].tolist()
    found = {c.column.name: c for c in contrasts(data, high, low, 0)}
    assert found["init_gain"].difference == 1
    assert found["architecture"].difference < 0.5
    assert next(iter(found)) in ("init_gain", "lambda_max", "lambda_mean", "init_scale")
    outcomes = [contrast.is_outcome for contrast in found.values()]
    assert outcomes == sorted(outcomes), "how networks ended is told after what they are"
    assert found["init_gain"].selected.sum() == pytest.approx(1)
    assert "seed" not in found
    words = in_words(list(found.values()), "A", "others")
    assert words.index("initial gain") < words.index("final validation accuracy")
    assert contrasts(data, [], low, 0) == []
    assert in_words([], "A", "others") == ""


def test_what_spectra_share_in_words(data):
    gain = data.networks["init_gain"]
    group = Group("A", gain.index[gain > 9].to_numpy(), "#000000")
    own = data.records[(data.records["epoch"] == 0) & data.records["network"].isin(group.networks)]
    words = exponents_in_words(data, [group], 0)
    assert f"A: median λ₁ {own['lambda_max'].median():.3g}" in words
    assert f"{(own['lambda_max'] > 0).mean():.0%} with λ₁ above zero" in words
    assert "No spectra" in exponents_in_words(data, [group], 2)


def test_rows_of_a_selection(data):
    frame = selected_rows(data, {"a": [1, 2], "b": [5]}, 0, None)
    assert dict(zip(frame["network"], frame["group"], strict=True)) == {1: "A", 2: "A", 5: "B"}
    everything = selected_rows(data, {"a": [], "b": []}, 0, {"architecture": ["gru"]})
    assert set(everything["architecture"]) == {"gru"}


def test_networks_are_found_by_id_or_its_beginning(data):
    assert search(data, " 000000000003 ", 0).tolist() == [3]
    assert len(search(data, "00000000000", 0)) == 16
    assert search(data, "00000000003b", 0).tolist() == [59]
    assert search(data, "", 0).tolist() == search(data, "nothing", 0).tolist() == []


def test_networks_are_found_by_what_they_are(data):
    networks = data.networks
    wanted = (networks["architecture"] == "lstm") & (networks["init_gain"] > 6)
    assert wanted.any()
    assert search(data, "LSTM init_gain > 6", 0).tolist() == networks.index[wanted].tolist()
    assert search(data, "architecture=lstm gain>6", 0).tolist() == networks.index[wanted].tolist()
    points = data.points[data.points["epoch"] == 1]
    unstable = points["network"][points["lambda_max"] > 0]
    assert search(data, "λ₁ > 0", 1).tolist() == sorted(unstable)
    for odd in ("no_such > 1", "init_gain > x", "architecture > lstm", "> 3", "a=b=c", "((("):
        assert len(search(data, odd, 0)) == 0, odd


ODD_ADDRESSES = [
    "dimensions=7", "dimensions=²", "epoch=²", "epoch=-1", "epoch=99999999999999", "method=foo", "tab=zzz", "theme=blue",
    "display=x", "paths=all", "x=nothing&y=&log=zz&method=columns", "colour=[]", "size=architecture", "shape=init_gain",
    'filters={"init_gain":["a","b"]}', 'filters={"init_gain":[NaN,Infinity]}', 'filters={"architecture":[1,null]}',
    'filters={"init_gain":[true,false]}', 'filters={"init_gain":[[1],2]}', 'filters={"none":[1,2]}', "filters=[1]",
    "filters=" + "[" * 5000, 'filters={"init_gain":[1e999,2]}', "a=z:x:y", "a=i:unknown", "focus=unknown", "%00=%ff",
    'filters={"init_gain":[5,1]}', 'filters={"architecture":["lstm"]}', "a=" + "i:" * 3000,
]  # fmt: skip


@pytest.mark.parametrize("query", ODD_ADDRESSES)
def test_any_address_gives_a_page(folder, query):
    from plotly.utils import PlotlyJSONEncoder

    from aelle.explorer import layout
    from aelle.explorer.callbacks.selection import filter_widget

    source = Source(folder)
    view = from_query(query, source.data.networks["network_id"].tolist())
    assert view.dimensions in (None, 2, 3)
    json.dumps(layout.page(source, view), cls=PlotlyJSONEncoder)
    known = known_filters(source.data.points, view.filters)
    for name, wanted in known.items():
        filter_widget(source.data, name, wanted)
    filter_mask(source.data.points, known)


def test_the_page_goes_on_while_umap_is_computed(folder, tmp_path, monkeypatch):
    """UMAP is stood in for by processes that sleep, fail, or do nothing: what is tested is the waiting."""
    copy = type(folder)(tmp_path / "copy")
    shutil.copytree(folder.root, copy.root)
    source = Source(copy)
    monkeypatch.setattr(umap_job, "COMMAND", (sys.executable, "-c", "import time; time.sleep(100)"))
    with pytest.raises(ExplorerError, match=r"compiles it.*choose PCA to cancel"):
        source.projection_soon("umap", 2)
    job = source._job
    with pytest.raises(ExplorerError, match="compiles it"):
        source.projection_soon("umap", 2)
    assert source._job is job, "it is begun once"
    assert source.projection_soon("pca", 2).method == "PCA"
    assert job.ended, "PCA cancels"
    monkeypatch.setattr(umap_job, "COMMAND", (sys.executable, "-c", "raise SystemExit('no more memory')"))
    version = source.version
    with pytest.raises(ExplorerError, match="compiles it"):
        source.projection_soon("umap", 2)
    source._job.process.wait()
    source.refresh()
    assert source.version == version + 1, "the page asks anew"
    with pytest.raises(ExplorerError, match="no more memory"):
        source.projection_soon("umap", 2)


def test_umap_needs_enough_points(tmp_path):
    source = Source(write_explorer_folder(tmp_path, networks=1))
    with pytest.raises(ExplorerError, match=r"UMAP needs at least 10 points, there are 3"):
        source.projection("umap")


def test_umap_is_computed_once_and_saved(tmp_path, monkeypatch):
    import aelle.explorer.projection as projection

    calls = []

    def fit(matrix, dimensions):
        calls.append(len(matrix))
        return matrix[:, :dimensions].astype(float)

    monkeypatch.setattr(projection, "_fit_umap", fit)
    folder = write_explorer_folder(tmp_path, networks=12)
    first = Source(folder).projection("umap", 2)
    again = Source(folder).projection("umap", 2)
    assert len(calls) == 1
    np.testing.assert_array_equal(first.coordinates, again.coordinates)
    assert first.ruler(0).title == "UMAP 1"
    saved = pd.read_parquet(folder.root / "explorer" / "umap-2.parquet")
    assert list(saved) == ["network_id", "epoch", "x", "y"]
    points = load(folder).points
    umap(
        points,
        points[["latent_0", "latent_1"]].to_numpy() + 1,
        2,
        folder.root / "explorer" / "umap-2.parquet",
    )
    assert len(calls) == 2  # other latents, other coordinates


@pytest.mark.slow
def test_real_umap_is_repeatable():
    from aelle.explorer.projection import _fit_umap

    matrix = np.random.default_rng(0).normal(size=(40, 4)).astype(np.float32)
    first, second = _fit_umap(matrix, 2), _fit_umap(matrix, 2)
    assert first.shape == (40, 2)
    np.testing.assert_array_equal(first, second)


def test_view_is_plain_json(data):
    json.dumps(View(a=["x"]).__dict__)


def test_filter_sliders_are_open_at_their_ends(data):
    from aelle.explorer.callbacks.selection import _wanted, filter_widget, slider_ends
    from aelle.explorer.columns import describe

    low, high = slider_ends(data, describe(data.points, "init_gain"))
    assert _wanted(data, "init_gain", [low, high - 1e-3]) == [None, None]
    assert _wanted(data, "init_gain", [low + 1, high]) == [low + 1, None]
    assert _wanted(data, "architecture", ["lstm"]) == ["lstm"]
    slider = filter_widget(data, "init_gain", [None, 5]).children[1].children
    assert slider.value == [low, 5]
    assert filter_widget(data, "architecture", None).children[1].value == ["gru", "lstm", "rnn"]
