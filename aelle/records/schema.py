"""The columns of the records: one row is one network at one epoch."""

from __future__ import annotations

import pyarrow as pa

from aelle.hyperparameters import HYPERPARAMETERS

_TYPES = {str: pa.string(), bool: pa.bool_(), int: pa.int32(), float: pa.float64()}
SCHEMA = pa.schema(
    [
        ("network_id", pa.string()),
        ("cohort", pa.string()),
        ("experiment", pa.string()),
        ("task", pa.string()),
        *((h.name, _TYPES[h.kind]) for h in HYPERPARAMETERS),
        ("seed", pa.int64()),
        ("epoch", pa.int32()),  # 0 is before training
        ("train_loss", pa.float64()),
        ("val_loss", pa.float64()),
        ("val_metric", pa.float64()),
        ("metric_name", pa.string()),
        ("higher_is_better", pa.bool_()),
        ("status", pa.string()),  # ok, diverged, failed or pruned
        ("spectrum", pa.list_(pa.float32())),  # descending, nats per step; null where not taken
        ("spectrum_se", pa.list_(pa.float32())),  # standard error of each exponent
        ("spectrum_std", pa.list_(pa.float32())),  # temporal standard deviation of local exponents
        ("spectrum_state", pa.string()),  # full or hidden
        ("spectrum_inputs", pa.string()),  # validation or noise
        ("trusted_count", pa.int32()),
        ("certificate", pa.float64()),
        ("weight_statistics", pa.map_(pa.string(), pa.float32())),  # where the spectrum was taken
        ("layer_sizes", pa.list_(pa.int32())),  # state size of each layer
        ("train_seconds", pa.float64()),
        ("spectrum_seconds", pa.float64()),
        # Only where [spectrum] also asks for them; files of earlier versions lack these columns.
        ("spectrum_hidden", pa.list_(pa.float32())),  # as `spectrum`, with state = "hidden"
        ("spectrum_noise", pa.list_(pa.float32())),  # as `spectrum`, with inputs = "noise"
        ("spectrum_first_layer", pa.list_(pa.float32())),  # of a stack: its part of `spectrum`
        ("spectrum_last_layer", pa.list_(pa.float32())),
        ("readout_growth", pa.list_(pa.float32())),  # nats at each of growth_lags(sequence length)
        ("also_seconds", pa.float64()),  # what these cost together
        # Of a look, [spectrum] look = "economy", in place of `spectrum`; it has `readout_growth` too.
        ("leading_exponents", pa.list_(pa.float32())),  # finite-time exponents, descending, nats per step
        ("mean_exponent", pa.float64()),  # of all exponents; null without a closed form of the determinant
        ("cause", pa.string()),  # why the network failed or was stopped, on the row where it was
        ("cause_at", pa.string()),  # of a failure: file and line
    ]
)
LATER_COLUMNS = (
    *(h.name for h in HYPERPARAMETERS if h.later),
    "spectrum_hidden",
    "spectrum_noise",
    "spectrum_first_layer",
    "spectrum_last_layer",
    "readout_growth",
    "also_seconds",
    "leading_exponents",
    "mean_exponent",
    "cause",
    "cause_at",
)
STATUSES = ("ok", "diverged", "failed", "pruned")
TIMINGS = (
    "train_seconds",
    "spectrum_seconds",
    "also_seconds",
    "cause",
    "cause_at",
)  # the only columns in which two equal runs may differ
