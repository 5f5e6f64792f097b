"""Motion capture: predict the next frame of a moving body (CMU Graphics Lab, as prepared by Li et al. 2018)."""

from __future__ import annotations

import io

import numpy as np
import torch
from torch import Tensor, nn

from aelle.tasks.data_files import DataFile, read_bytes
from aelle.tasks.task import Split, Task, TaskError

ACTIVITIES = ("basketball", "soccer", "walking", "jumping")
_RECORDINGS = 5
_COLUMNS = 117
_CONSTANT = 1e-4  # Li et al. take a dimension of a smaller standard deviation for constant
_URL = (
    "https://raw.githubusercontent.com/chaneyddtt/Convolutional-Sequence-to-Sequence-Model-for-Human-Dynamics/"
    "f27ccb4ed5b0568cde2b7cf096dd2683c901b4d8/data/"
)
_HASHES = {
    "cmu_mocap/train/basketball/basketball_1.txt": "7c21f4c0d861a5489e0cde47026eaf97707fb5dd0d29adf19addd6c97bc3736c",
    "cmu_mocap/train/basketball/basketball_2.txt": "cc6c19845c755ee255495cf26d2b068471b1fadc01d18aeaa7498c66392a1680",
    "cmu_mocap/train/basketball/basketball_3.txt": "59c8b75e5e930c5dbe8a65e4e0a1012ca2fd3e9725137f755aeca2bca4e8fed8",
    "cmu_mocap/train/basketball/basketball_4.txt": "91771bae89ba73abc131c00d027aa23904fa8a99095f3eee2aa4a38c39fe40eb",
    "cmu_mocap/train/basketball/basketball_5.txt": "177a424d5417e99a846350e8b7841598825d1b20792ad10d5023e61a2f7ae77f",
    "cmu_mocap/test/basketball/basketball_1.txt": "85e29ef050c68ebc1f6a865bd0f9bbbeed11af124cf2477b3317cee42307c701",
    "cmu_mocap/train/jumping/jumping_1.txt": "1441aa13e9ed397d88603db851596f11721d15f31508134c3d260e0948a91b6d",
    "cmu_mocap/train/jumping/jumping_2.txt": "d1d1e3c8776771d3bb03d2a6e43d9ae34d0cc972222d2168c4af361ee9677dbf",
    "cmu_mocap/train/jumping/jumping_3.txt": "96f03066d3c808b334bae1a12e6a15b2315cacbda8df1160cd3ae16dcc2ac0c7",
    "cmu_mocap/train/jumping/jumping_4.txt": "866f1b2e5e879c24c0b369b03de17bad9b60441d7417e5b4e6e44bf2d59ca58a",
    "cmu_mocap/train/jumping/jumping_5.txt": "59db2b8a4639378a0de9b572d951c300e560e2e29ef3ff543cef502394ed678b",
    "cmu_mocap/test/jumping/jumping_1.txt": "bba6e585edc8efd6ca5a5f9820878a7eebe42e6bc78396d7c2ec079f43d58968",
    "cmu_mocap/train/soccer/soccer_1.txt": "c238012cd3dd2147f77a9f78b9da9096341848c789b8cf2409adecbff195fba2",
    "cmu_mocap/train/soccer/soccer_2.txt": "b7eb2d445332867815336ea417bdf67a86a29e29554322dc7c6fab8e47d31783",
    "cmu_mocap/train/soccer/soccer_3.txt": "1cad2b1fe63b81f419e4e65ace483328d9f99293083f779199c5f037df0a28d2",
    "cmu_mocap/train/soccer/soccer_4.txt": "5355451997838daeff09b7c9523cc0b1b8bd39ebfc374b65f4e996eb16cf7190",
    "cmu_mocap/train/soccer/soccer_5.txt": "491d3dce18ceb63e04c04e03f25fd6da578777810e7388ca699758fbf1465102",
    "cmu_mocap/test/soccer/soccer_1.txt": "1942216b67a39128edb090db164a1fb2a2f1fcfc240413e93c5f6722bed8f4b9",
    "cmu_mocap/train/walking/walking_1.txt": "594fd1ec95dd385dfaa04e4230ebc047b4917ecc0615629a6a92f11d7dd3ca49",
    "cmu_mocap/train/walking/walking_2.txt": "9f00af52c9361f16df6820846141e282b4d4958edae4952c486f141da8ff7f92",
    "cmu_mocap/train/walking/walking_3.txt": "f5ff48a358d4de2eb95a10d69d0a7195bfb4da51ee6203aab3bf842bac352d03",
    "cmu_mocap/train/walking/walking_4.txt": "608910282c0ad1cbeef718cdd835481a703557146524b68eefbb5ec792544e61",
    "cmu_mocap/train/walking/walking_5.txt": "a955054b2a4fd3207f2feac395c0e51e3468daff2b5d25eb6d5fd7e584b44efe",
    "cmu_mocap/test/walking/walking_1.txt": "189d6f44e6193520e6438692bce77c6b6594a8c26ead09d90b63c88acbbe3363",
}


class MotionCapture(Task):
    """Predict every next frame of a sequence of `length` frames: mean squared error over steps and features.

    A frame is 117 numbers: root position and joint angles as exponential maps. Dimensions that are constant
    over the training frames are dropped; the others have the training mean taken off and are divided by the
    training standard deviation; the first `features` of them are kept. An error of 1 is thus that of
    answering the mean (on training data).

    Recordings 1-4 of each activity in train/ are for training and number 5 for validation; test/ is the test
    split. Sequences start every `stride` frames of a training recording, and follow one another without
    overlap in the other splits.

    Args:
        activity: "all", or one of basketball, soccer, walking, jumping.
        length: frames of a sequence; the papers take 25.
        features: number of features; the papers take the first 20.
        stride: frames between the starts of two training sequences.
        data_folder: the folder that has cmu_mocap/; see `aelle.tasks.data_files.locate`.

    Raises:
        TaskError: for a wrong option, or files that are missing, damaged or too short.
    """

    name = "motion_capture"
    metric_name = "mse"
    higher_is_better = False

    def __init__(
        self,
        activity: str = "all",
        length: int = 25,
        features: int = 20,
        stride: int = 5,
        data_folder: str | None = None,
    ) -> None:
        if activity not in ("all", *ACTIVITIES):
            raise TaskError(
                f"motion_capture: activity must be all, {', '.join(ACTIVITIES)}; got {activity!r}"
            )
        if length < 1 or stride < 1:
            raise TaskError("motion_capture: length and stride must be at least 1")
        recordings = _recordings(ACTIVITIES if activity == "all" else (activity,), data_folder)
        kept, mean, deviation = _moments(np.concatenate(recordings["train"]))
        if not 1 <= features <= len(kept):
            raise TaskError(
                f"motion_capture: features must lie between 1 and {len(kept)}, the dimensions that vary; "
                f"got {features}"
            )
        self.input_size = self.output_size = features
        kept, mean, deviation = kept[:features], mean[:features], deviation[:features]
        scaled = {
            split: [(frames[:, kept] - mean) / deviation for frames in parts]
            for split, parts in recordings.items()
        }
        self.train = _windows(scaled["train"], length, stride)
        self.validation = _windows(scaled["validation"], length, length)
        self.test = _windows(scaled["test"], length, length)

    def loss(self, outputs: Tensor, targets: Tensor) -> Tensor:
        """Mean squared error over steps and features, in units of the training variance."""
        return nn.functional.mse_loss(outputs, targets)

    def metric(self, outputs: Tensor, targets: Tensor) -> float:
        """The same as the loss."""
        return self.loss(outputs, targets).item()


def _recordings(activities: tuple[str, ...], data_folder: str | None) -> dict[str, list[np.ndarray]]:
    """Frames (n, 117) of every recording, by split."""
    found: dict[str, list[np.ndarray]] = {"train": [], "validation": [], "test": []}
    for activity in activities:
        for number in range(1, _RECORDINGS + 1):
            path = f"cmu_mocap/train/{activity}/{activity}_{number}.txt"
            found["train" if number < _RECORDINGS else "validation"].append(_read(path, data_folder))
        found["test"].append(_read(f"cmu_mocap/test/{activity}/{activity}_1.txt", data_folder))
    return found


def _read(path: str, data_folder: str | None) -> np.ndarray:
    content = read_bytes(DataFile(path, _HASHES[path], _URL + path), data_folder)
    return read_frames(content, path)


def read_frames(content: bytes, name: str) -> np.ndarray:
    """Read frames (n, 117) from comma-separated text, one frame a line.

    Raises:
        TaskError: where a line has another number of columns, or is not numbers.
    """
    try:
        frames = np.loadtxt(io.BytesIO(content), delimiter=",", ndmin=2)
    except ValueError as error:
        raise TaskError(f"{name}: not a table of numbers: {error}") from None
    if frames.shape[1] != _COLUMNS:
        raise TaskError(f"{name}: a frame has {frames.shape[1]} numbers, expected {_COLUMNS}")
    return frames


def _moments(frames: np.ndarray) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Index of the dimensions that vary, with their means and standard deviations."""
    deviation = frames.std(axis=0)
    kept = np.flatnonzero(deviation > _CONSTANT)
    return kept, frames.mean(axis=0)[kept], deviation[kept]


def _windows(recordings: list[np.ndarray], length: int, stride: int) -> Split:
    """Sequences of `length` frames and the frame after each of their steps; none spans two recordings."""
    cut = [
        frames[start : start + length + 1]
        for frames in recordings
        for start in range(0, len(frames) - length, stride)
    ]
    if not cut:
        raise TaskError(f"motion_capture: no recording is longer than {length} frames")
    windows = torch.tensor(np.stack(cut), dtype=torch.float32)
    return Split(windows[:, :-1].contiguous(), windows[:, 1:].contiguous())
