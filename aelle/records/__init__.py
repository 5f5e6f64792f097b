"""What is written and read: the record schema, the folder layout, atomic writes and the resume ledger.

    artifacts/<experiment>/
      experiment.toml                       the resolved experiment
      records/<cohort>/epoch-0003.parquet   one atomic file an epoch; a finished cohort is records/<cohort>.parquet
      checkpoints/<cohort>.safetensors      state after the last recorded epoch
      failures.jsonl                        what failed, why, and the command that reruns it
      pruned.jsonl                          which networks were stopped early, and why

One row is one network at one epoch. `pd.read_parquet("artifacts/x/records")` just works.
"""

from aelle.records.atomic import (
    atomic,
    remove_partial_files,
    write_bytes,
    write_frame,
    write_json,
    write_table,
)
from aelle.records.cohorts import discard_epochs, finish_cohort, write_epoch
from aelle.records.folder import ExperimentFolder, RecordsError
from aelle.records.frame import Records, weight_statistics_frame
from aelle.records.incidents import append_failure, append_pruned, read_failures
from aelle.records.normalised_index import normalised_index, resample_rows
from aelle.records.outcome import OUTCOMES, STOPPED, Metric, best_of, outcomes
from aelle.records.reading import read_arrow, read_records, read_table, record_files
from aelle.records.schema import LATER_COLUMNS, SCHEMA, STATUSES, TIMINGS

__all__ = [
    "LATER_COLUMNS",
    "Metric",
    "OUTCOMES",
    "Records",
    "RecordsError",
    "ExperimentFolder",
    "SCHEMA",
    "STOPPED",
    "STATUSES",
    "TIMINGS",
    "append_failure",
    "append_pruned",
    "atomic",
    "best_of",
    "discard_epochs",
    "finish_cohort",
    "normalised_index",
    "outcomes",
    "read_arrow",
    "read_failures",
    "read_records",
    "read_table",
    "record_files",
    "remove_partial_files",
    "resample_rows",
    "weight_statistics_frame",
    "write_bytes",
    "write_epoch",
    "write_frame",
    "write_json",
    "write_table",
]
