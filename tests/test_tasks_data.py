"""Data files: where they are looked for, what is refused, and that tasks hold what the files hold."""

import functools
import gzip
import hashlib
import http.server
import math
import struct
import threading
from collections import Counter
from pathlib import Path

import numpy as np
import pytest
import torch

from aelle.collection.ledger import claim
from aelle.collection.search_space import variants
from aelle.config import ConfigError, parse_experiment
from aelle.records import ExperimentFolder
from aelle.tasks import sequential_mnist
from aelle.tasks.data_files import DATA_VARIABLE, DataFile, locate
from aelle.tasks.motion_capture import read_frames
from aelle.tasks.registry import make_task
from aelle.tasks.sequential_mnist import read_idx
from aelle.tasks.task import TaskError
from tests.task_data import data_folder

CONTENT = b"some data\n"
HASH = hashlib.sha256(CONTENT).hexdigest()


@pytest.fixture(autouse=True)
def no_cache_of_the_users(monkeypatch, tmp_path):
    import pooch

    monkeypatch.delenv(DATA_VARIABLE, raising=False)
    monkeypatch.setattr(pooch, "os_cache", lambda name: tmp_path / "cache" / name)


@pytest.fixture
def folder(tmp_path):
    (tmp_path / "data" / "sub").mkdir(parents=True)
    (tmp_path / "data" / "sub" / "file.txt").write_bytes(CONTENT)
    return tmp_path / "data"


@pytest.fixture
def server(folder):
    class Quiet(http.server.SimpleHTTPRequestHandler):
        def log_message(self, *arguments):
            pass

    handler = functools.partial(Quiet, directory=str(folder))
    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), handler) as running:
        threading.Thread(target=running.serve_forever, daemon=True).start()
        yield f"http://127.0.0.1:{running.server_port}/"
        running.shutdown()


def test_a_folder_given_comes_before_the_environment(folder, monkeypatch, tmp_path):
    monkeypatch.setenv(DATA_VARIABLE, str(tmp_path / "missing"))
    assert locate(DataFile("sub/file.txt", HASH), str(folder)).read_bytes() == CONTENT
    with pytest.raises(TaskError, match=r"missing \(AELLE_DATA\) does not exist"):
        locate(DataFile("sub/file.txt", HASH))
    monkeypatch.setenv(DATA_VARIABLE, str(folder))
    assert locate(DataFile("sub/file.txt", HASH)).read_bytes() == CONTENT


def test_a_missing_file_a_missing_folder_and_a_wrong_hash_are_one_line_each(folder):
    with pytest.raises(TaskError, match=r"nowhere \(\[task\] data_folder\) does not exist"):
        locate(DataFile("file.txt"), str(folder / "nowhere"))
    with pytest.raises(TaskError, match=r"has no file other\.txt"):
        locate(DataFile("other.txt"), str(folder))
    with pytest.raises(TaskError, match=r"its SHA-256 is [0-9a-f]{12}…, not 000000000000…"):
        locate(DataFile("sub/file.txt", "0" * 64), str(folder))
    with pytest.raises(TaskError, match="cannot be downloaded; name the folder"):
        locate(DataFile("other.txt"))


def test_a_download_is_checked_and_kept(server, tmp_path):
    file = DataFile("sub/file.txt", HASH, server + "sub/file.txt")
    found = locate(file)
    assert found == tmp_path / "cache" / "aelle" / "sub" / "file.txt"
    assert found.read_bytes() == CONTENT
    # Once there, no server is asked any more.
    assert locate(DataFile(file.path, HASH, "http://127.0.0.1:9/gone")) == found


@pytest.mark.parametrize("sha256, path", [("0" * 64, "sub/file.txt"), (HASH, "sub/none.txt")])
def test_a_failed_download_is_one_line(server, sha256, path):
    with pytest.raises(TaskError, match=r"file\.txt could not be downloaded from http") as caught:
        locate(DataFile("file.txt", sha256, server + path))
    assert "\n" not in str(caught.value)


def test_a_server_out_of_reach_is_named_with_its_reason_alone():
    with pytest.raises(
        TaskError, match=r"http://127\.0\.0\.1:9/x: \[Errno \d+\] Connection refused; or name"
    ):
        locate(DataFile("file.txt", HASH, "http://127.0.0.1:9/x"))


def test_characters_of_a_file_of_ones_own(folder):
    text = "".join(f"line {n}: añb\n" for n in range(500))
    (folder / "own.txt").write_text(text, encoding="utf-8")
    task = make_task("characters", {"text": "own.txt", "length": 20}, str(folder))
    assert task.alphabet == "".join(sorted(set(text)))
    assert task.input_size == len(set(text))
    length = len(text)
    expected = {"train": text[: int(0.8 * length)], "validation": text[int(0.8 * length) : int(0.9 * length)]}
    for split, part in expected.items():
        sequences = getattr(task, split)
        count = (len(part) - 1) // 20
        spelled = ["".join(task.alphabet[i] for i in row) for row in sequences.inputs.tolist()]
        assert spelled == [part[20 * n : 20 * n + 20] for n in range(count)]
        following = ["".join(task.alphabet[i] for i in row) for row in sequences.targets.tolist()]
        assert following == [part[20 * n + 1 : 20 * n + 21] for n in range(count)]
    # An absolute path needs no data folder.
    again = make_task("characters", {"text": str(folder / "own.txt"), "length": 20})
    assert torch.equal(again.train.inputs, task.train.inputs)


def test_a_share_of_the_characters_is_a_fixed_draw_of_the_same_sequences():
    whole, tenth = make_task("characters", {}), make_task("characters", {"share": 0.1})
    assert len(tenth.train) == round(0.1 * len(whole.train))
    rows = {row.tobytes() for row in whole.train.inputs.numpy()}
    assert all(row.tobytes() in rows for row in tenth.train.inputs.numpy())
    assert torch.equal(tenth.train.inputs, make_task("characters", {"share": 0.1}).train.inputs)


def test_what_is_no_text_or_too_short_is_refused(folder):
    (folder / "short.txt").write_text("abc")
    (folder / "binary.txt").write_bytes(b"abc\xff\xfe" * 1000)
    with pytest.raises(TaskError, match="has 3 characters, too few for sequences of 100"):
        make_task("characters", {"text": "short.txt"}, str(folder))
    with pytest.raises(TaskError, match=r"binary\.txt is not UTF-8 text: invalid start byte at byte 3"):
        make_task("characters", {"text": "binary.txt"}, str(folder))


def test_knowing_only_how_frequent_characters_are_costs_their_entropy():
    task = make_task("characters", {"share": 0.2})
    targets = task.train.targets
    counts = Counter(targets.flatten().tolist())
    total = sum(counts.values())
    entropy = -sum(n / total * math.log(n / total) for n in counts.values())
    logits = torch.tensor(
        [math.log(counts[i] / total) if i in counts else -100.0 for i in range(task.output_size)]
    )
    few = targets[:200]
    expected = -sum(math.log(counts[i] / total) for i in few.flatten().tolist()) / few.numel()
    assert task.metric(logits.expand(200, 100, -1), few) == pytest.approx(expected, rel=1e-5)
    assert expected == pytest.approx(entropy, rel=0.1)


def test_war_and_peace_is_the_text_of_the_papers():
    task = make_task("characters", {"text": "war_and_peace"}, data_folder("war_and_peace.txt"))
    assert task.input_size == task.output_size == 82
    assert [len(s) for s in (task.train, task.validation, task.test)] == [25618, 3202, 3202]
    spelled = "".join(task.alphabet[i] for i in task.train.inputs[0].tolist())
    assert spelled.startswith('CHAPTER I\n\n"Well, Prince, so Genoa and Lucca')


def idx(sizes, data, magic=b"\x00\x00\x08"):
    return gzip.compress(magic + bytes([len(sizes)]) + struct.pack(f">{len(sizes)}I", *sizes) + data)


def test_idx_files():
    content = idx((2, 3), bytes(range(6)))
    for found in (read_idx(content, "x.gz"), read_idx(gzip.decompress(content), "x")):
        assert found.tolist() == [[0, 1, 2], [3, 4, 5]]


@pytest.mark.parametrize(
    "content, message",
    [
        (b"no gzip", r"x\.gz: not a whole gzip file"),
        (idx((2, 3), bytes(6))[:-9], r"x\.gz: not a whole gzip file"),
        (idx((2, 3), bytes(5)), r"x\.gz: holds 5 bytes of data, its header announces 6"),
        (idx((2,), bytes(2), b"\x00\x00\x0d"), r"x\.gz: not an IDX file of unsigned bytes"),
        (gzip.compress(b"\x00\x00\x08\x03\x00"), r"x\.gz: truncated inside its header"),
    ],
    ids=["no gzip", "cut short", "too little data", "other type", "no header"],  # a gzip file holds the time
)
def test_damaged_idx_files_are_one_line(content, message):
    with pytest.raises(TaskError, match=message):
        read_idx(content, "x.gz")


def mnist(**options):
    return make_task("sequential_mnist", {"source": "test_files", **options}, data_folder("mnist"))


def test_mnist_orders_are_the_same_pixels():
    rows, pixels, permuted = mnist(), mnist(order="pixels"), mnist(order="permuted")
    assert [len(s) for s in (rows.train, rows.validation, rows.test)] == [8000, 1000, 1000]
    assert rows.train.inputs.shape == (8000, 28, 28)
    assert pixels.train.inputs.shape == permuted.train.inputs.shape == (8000, 784, 1)
    assert torch.equal(rows.train.inputs.flatten(1), pixels.train.inputs.flatten(1))
    order = torch.randperm(784, generator=torch.Generator().manual_seed(784))
    assert torch.equal(permuted.validation.inputs[..., 0], pixels.validation.inputs[:, order, 0])
    encoded = rows.encode(rows.test.inputs)
    assert (encoded.min().item(), encoded.max().item()) == (0.0, 1.0)
    # Published counts of the digits 0-9 among the 10,000 test images.
    labels = torch.cat([rows.train.targets, rows.validation.targets, rows.test.targets])
    assert labels.bincount().tolist() == [980, 1135, 1032, 1010, 982, 892, 958, 1028, 974, 1009]


def test_a_share_of_mnist():
    assert len(mnist(share=0.25).train) == 2000


def test_a_folder_without_the_training_files_says_how_to_go_on(tmp_path):
    with pytest.raises(
        TaskError, match=r'has no file mnist/train-images.*; the option source = "test_files"'
    ):
        make_task("sequential_mnist", {}, str(tmp_path))


def test_a_damaged_mnist_file_is_refused(tmp_path):
    (tmp_path / "mnist").mkdir()
    (tmp_path / "mnist" / "t10k-images-idx3-ubyte.gz").write_bytes(idx((1, 28, 28), bytes(784)))
    with pytest.raises(TaskError, match=r"t10k-images-idx3-ubyte\.gz: its SHA-256 is"):
        make_task("sequential_mnist", {"source": "test_files"}, str(tmp_path))


@pytest.fixture
def generated_mnist(tmp_path, monkeypatch):
    """All four files, as large as wanted, with hashes that fit: a folder, and a way to write it."""
    (tmp_path / "mnist").mkdir()
    random = np.random.default_rng(0)

    def write(train=120, test=30, **replaced):
        hashes = {}
        for prefix, count in (("train", train), ("t10k", test)):
            images = random.integers(0, 256, (count, 28, 28), dtype=np.uint8)
            files = {
                f"{prefix}-images-idx3-ubyte.gz": idx(images.shape, images.tobytes()),
                f"{prefix}-labels-idx1-ubyte.gz": idx((count,), bytes(int(i[0, 0]) % 10 for i in images)),
            }
            for name, content in files.items():
                content = replaced.get(name.split("-idx")[0].replace("-", "_"), content)
                (tmp_path / "mnist" / name).write_bytes(content)
                hashes[name] = hashlib.sha256(content).hexdigest()
        monkeypatch.setattr(sequential_mnist, "_HASHES", hashes)
        return str(tmp_path)

    return write


@pytest.fixture
def uncompressed_mnist(generated_mnist, monkeypatch):
    """The same without compression, under one of the two names in use: a folder, and a way to write it."""

    def write(dot, cut=0):
        folder, hashes = generated_mnist(), {}
        for path in sorted((Path(folder) / "mnist").glob("*.gz")):
            content, name = gzip.decompress(path.read_bytes()), path.stem
            content = content[: len(content) - cut]
            hashes[name] = hashlib.sha256(content).hexdigest()
            path.with_name(name.replace("-idx", ".idx") if dot else name).write_bytes(content)
            path.unlink()
        monkeypatch.setattr(sequential_mnist, "_UNCOMPRESSED_HASHES", hashes)
        return folder

    return write


def test_the_full_source_keeps_test_images_apart_and_every_image_with_its_label(generated_mnist):
    folder = generated_mnist()
    full = make_task("sequential_mnist", {"source": "full"}, folder)
    assert [len(s) for s in (full.train, full.validation, full.test)] == [110, 10, 30]
    for split in (full.train, full.validation, full.test):  # each label was made from its image
        assert torch.equal(split.inputs[:, 0, 0].long() % 10, split.targets)
    images = read_idx((Path(folder) / "mnist" / "t10k-images-idx3-ubyte.gz").read_bytes(), "x.gz")
    assert torch.equal(full.test.inputs, images)
    learnt = {bytes(i.flatten().tolist()) for i in torch.cat([full.train.inputs, full.validation.inputs])}
    assert len(learnt) == 120
    assert not learnt & {bytes(i.flatten().tolist()) for i in full.test.inputs}
    alone = make_task("sequential_mnist", {"source": "test_files"}, folder)
    assert [len(s) for s in (alone.train, alone.validation, alone.test)] == [24, 3, 3]
    assert len(make_task("sequential_mnist", {"source": "full", "share": 0.5}, folder).train) == 55


@pytest.mark.parametrize(
    "replaced, message",
    [
        ({"train_images": b"<html>"}, r"train-images-idx3-ubyte\.gz: not a whole gzip file"),
        ({"train_images": idx((1, 28, 28), bytes(784))[:-20]}, "not a whole gzip file"),
        ({"t10k_labels": idx((30,), bytes(29))}, "holds 29 bytes of data, its header announces 30"),
        ({"train_labels": idx((120,), bytes(120), b"\x00\x00\x0d")}, "not an IDX file of unsigned bytes"),
        ({"train_labels": idx((119,), bytes(119))}, "train: .* got 119 labels for 120 images"),
        ({"train_labels": idx((120,), bytes([10] * 120))}, "train: expected a label from 0 to 9"),
        ({"train_images": idx((120, 8, 8), bytes(120 * 64))}, r"expected images of 28 × 28 .* \(120, 8, 8\)"),
    ],
    ids=[
        "no gzip",
        "cut short",
        "too little data",
        "other type",
        "too few labels",
        "no digit",
        "small images",
    ],
)
def test_files_of_the_full_source_that_are_wrong_are_one_line(generated_mnist, replaced, message):
    with pytest.raises(TaskError, match=message) as caught:
        make_task("sequential_mnist", {"source": "full"}, generated_mnist(**replaced))
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize("dot", [False, True], ids=["train-images-idx3-ubyte", "train-images.idx3-ubyte"])
def test_uncompressed_files_are_read_too(uncompressed_mnist, dot):
    full = make_task("sequential_mnist", {"source": "full"}, uncompressed_mnist(dot))
    assert [len(s) for s in (full.train, full.validation, full.test)] == [110, 10, 30]
    for split in (full.train, full.validation, full.test):  # each label was made from its image
        assert torch.equal(split.inputs[:, 0, 0].long() % 10, split.targets)


@pytest.mark.parametrize("dot", [False, True])
def test_uncompressed_files_that_are_wrong_are_one_line(uncompressed_mnist, dot):
    folder = uncompressed_mnist(dot, cut=100)
    spelt = r"train-images\.idx3-ubyte" if dot else "train-images-idx3-ubyte"
    with pytest.raises(TaskError, match=f"^{spelt}: holds 93980 bytes of data, its header announces 94080"):
        make_task("sequential_mnist", {"source": "full"}, folder)
    for path in (Path(folder) / "mnist").iterdir():
        path.write_bytes(b"\x00\x00\x0d" + path.read_bytes()[3:])
    with pytest.raises(TaskError, match=f"{spelt}: its SHA-256 is .* the file is damaged or another one"):
        make_task("sequential_mnist", {"source": "full"}, folder)
    sequential_mnist._UNCOMPRESSED_HASHES.update(
        {
            path.name.replace(".idx", "-idx"): hashlib.sha256(path.read_bytes()).hexdigest()
            for path in (Path(folder) / "mnist").iterdir()
        }
    )
    with pytest.raises(TaskError, match=f"^{spelt}: not an IDX file of unsigned bytes"):
        make_task("sequential_mnist", {"source": "full"}, folder)


def test_published_hashes_are_of_the_same_content():
    folder = Path(data_folder("mnist")) / "mnist"
    for path in folder.glob("*.gz"):
        found = hashlib.sha256(gzip.decompress(path.read_bytes())).hexdigest()
        assert found == sequential_mnist._UNCOMPRESSED_HASHES[path.stem]


def test_motion_capture_is_standardised_by_its_training_frames():
    folder = data_folder("cmu_mocap")
    task = make_task("motion_capture", {"activity": "walking", "length": 1, "stride": 1}, folder)
    paths = [f"{folder}/cmu_mocap/train/walking/walking_{n}.txt" for n in range(1, 5)]
    recordings = [np.genfromtxt(path, delimiter=",") for path in paths]
    frames = np.concatenate(recordings)
    moving = [column for column in range(117) if frames[:, column].std() > 1e-4][:20]
    expected = (frames[:, moving] - frames[:, moving].mean(0)) / frames[:, moving].std(0)
    # Sequences of one frame: inputs are all frames but each recording's last, targets all but the first.
    lasts = np.cumsum([len(r) for r in recordings]) - 1
    inputs = torch.tensor(np.delete(expected, lasts, axis=0), dtype=torch.float32)
    torch.testing.assert_close(task.train.inputs[:, 0], inputs, rtol=1e-4, atol=1e-5)
    firsts = np.concatenate([[0], lasts[:-1] + 1])
    targets = torch.tensor(np.delete(expected, firsts, axis=0), dtype=torch.float32)
    torch.testing.assert_close(task.train.targets[:, 0], targets, rtol=1e-4, atol=1e-5)
    # Moments over the training frames: mean 0 and variance 1, so answering the mean costs 1.
    everything = torch.cat([task.train.inputs[:, 0], torch.tensor(expected[lasts], dtype=torch.float32)])
    assert everything.mean(0).abs().max() < 1e-4
    assert everything.square().mean().item() == pytest.approx(1.0, abs=1e-3)


def test_motion_capture_targets_are_the_next_frames_and_splits_are_whole_recordings():
    task = make_task("motion_capture", {}, data_folder("cmu_mocap"))
    assert task.train.inputs.shape[1:] == task.train.targets.shape[1:] == (25, 20)
    torch.testing.assert_close(task.train.inputs[:, 1:], task.train.targets[:, :-1], rtol=0, atol=0)
    # Frames a recording: (n - 1) // 25 sequences without overlap; lengths of the fifth and the test ones.
    assert len(task.validation) == sum((n - 1) // 25 for n in (403, 573, 330, 352))
    assert len(task.test) == sum((n - 1) // 25 for n in (577, 598, 359, 2086))
    # Motion is smooth: repeating the last frame is far better than the mean, and leaves something to learn.
    repeating = task.metric(task.validation.inputs, task.validation.targets)
    assert 0.001 < repeating < 0.05
    with pytest.raises(TaskError, match="features must lie between 1 and"):
        make_task("motion_capture", {"features": 117}, data_folder("cmu_mocap"))


@pytest.mark.parametrize(
    "content, message",
    [
        (b"1,2,x\n", "not a table of numbers"),
        (b"1,2\n3\n", "not a table"),
        (b"1,2\n", "2 numbers, expected 117"),
    ],
)
def test_damaged_motion_files_are_one_line(content, message):
    with pytest.raises(TaskError, match=message) as caught:
        read_frames(content, "walking_1.txt")
    assert str(caught.value).startswith("walking_1.txt: ")


def test_where_data_lie_decides_nothing_about_a_record(tmp_path):
    def experiment(**task):
        return parse_experiment({"name": "moved", "task": {"name": "motion_capture", **task}})

    here, there = experiment(data_folder="here"), experiment(data_folder="there")
    ids = [[v.network_id for v in variants(e)] for e in (here, there, experiment())]
    assert ids[0] == ids[1] == ids[2]
    folder = ExperimentFolder(tmp_path / "records")
    for e in (here, there, experiment()):
        claim(folder, e, variants(e), 5)
    with pytest.raises(ConfigError, match="holds records of another experiment"):
        other = experiment(options={"length": 30})
        claim(folder, other, variants(other), 5)
