"""What is written and read: the record schema, the folder layout, atomic writes, digests, and what is derived from what.

    artifacts/<experiment>/
      experiment.toml                     the resolved experiment
      records/<cohort>.parquet            a cohort's records; every epoch replaces the file whole
      checkpoints/<cohort>.safetensors    state after the last recorded epoch
      failures.jsonl                      what failed, why, and the command that reruns it
      pruned.jsonl                        which networks were stopped early, and why

One row is one network at one epoch. `pd.read_parquet("artifacts/x/records")` just works, at every instant.
"""

from aelle.records.atomic import (
    atomic,
    put_in_place,
    remove_partial_files,
    without_nan,
    write_bytes,
    write_frame,
    write_json,
    write_table,
)
from aelle.records.cohorts import CohortRecords, adopt_epoch_files, write_epoch
from aelle.records.derived import out_of_step, records_digest
from aelle.records.digest import (
    BLANK,
    COMMENT,
    carries_digest,
    digest_of,
    fill,
    is_whole,
    made_from,
    open_parquet,
    read_bytes,
    read_json,
)
from aelle.records.folder import DamagedFileError, ExperimentFolder, RecordsError
from aelle.records.frame import Records, weight_statistics_frame
from aelle.records.incidents import read_failures, write_incidents
from aelle.records.looks import known_exponents, look_columns, looked, looks_of
from aelle.records.normalised_index import normalised_index, resample_rows
from aelle.records.outcome import OUTCOMES, STOPPED, Metric, best_of, outcomes
from aelle.records.reading import network_states, read_arrow, read_records, read_table, record_files
from aelle.records.schema import LATER_COLUMNS, SCHEMA, STATUSES, TIMINGS

__all__ = [
    "BLANK",
    "COMMENT",
    "CohortRecords",
    "DamagedFileError",
    "ExperimentFolder",
    "LATER_COLUMNS",
    "Metric",
    "OUTCOMES",
    "Records",
    "RecordsError",
    "SCHEMA",
    "STOPPED",
    "STATUSES",
    "TIMINGS",
    "adopt_epoch_files",
    "atomic",
    "best_of",
    "carries_digest",
    "digest_of",
    "fill",
    "is_whole",
    "known_exponents",
    "look_columns",
    "looked",
    "looks_of",
    "made_from",
    "network_states",
    "normalised_index",
    "open_parquet",
    "out_of_step",
    "put_in_place",
    "outcomes",
    "read_arrow",
    "read_bytes",
    "read_failures",
    "read_json",
    "read_records",
    "read_table",
    "record_files",
    "records_digest",
    "remove_partial_files",
    "resample_rows",
    "weight_statistics_frame",
    "without_nan",
    "write_bytes",
    "write_epoch",
    "write_frame",
    "write_incidents",
    "write_json",
    "write_table",
]
