"""`[training] condition`: a column, a part of a network's identity, done once and before anything is learnt."""

import pytest
import torch

from aelle.collection.collect import collect
from aelle.collection.population import PopulationTraining
from aelle.collection.search_space import Cohort, variants
from aelle.collection.training import NativeTraining, build_network
from aelle.conditioning import condition
from aelle.config import ConfigError
from aelle.records import ExperimentFolder, read_records
from aelle.tasks.latch import Latch
from tests.small_collection import comparable, experiment, in_this_process


def small(method, architecture="gru", **training):
    networks = {"architecture": architecture, "per_combination": 2, "init_gain": 1.0, "dropout": 0.0}
    return experiment(networks=networks, training={"epochs": 2, "condition": method, **training})


def test_networks_that_are_not_conditioned_keep_their_ids():
    given, without = (
        variants(small("none")),
        variants(experiment(networks=small("none").networks.model_dump(exclude_unset=True))),
    )
    assert [v.network_id for v in given] == [v.network_id for v in without]
    other = variants(small("scale"))
    assert not {v.network_id for v in given} & {v.network_id for v in other}


@pytest.mark.parametrize("backend", [NativeTraining, PopulationTraining])
def test_each_network_of_a_cohort_is_conditioned_as_it_would_be_alone(backend):
    task = Latch(delay=5, train=64, validation=32)
    cohort = Cohort(tuple(variants(small("scale"))))
    training = backend(cohort, task, 0)
    (epoch,) = training
    for trainee in epoch.trainees:
        expected = build_network(trainee.variant, task)
        assert condition(expected, task.encode(task.train.inputs[:32]), method="scale").changed
        for mine, other in zip(trainee.network.parameters(), expected.parameters(), strict=True):
            torch.testing.assert_close(mine, other)
        assert trainee.train_seconds > 0


def test_it_is_recorded_and_a_resumed_collection_equals_an_uninterrupted_one(tmp_path):
    asked, whole, cut = small("scale"), tmp_path / "whole", tmp_path / "cut"
    collect(asked, whole, engine=in_this_process)

    class StoppedError(Exception):
        pass

    def stop_at_1(rows):
        if rows[0]["epoch"] == 1:
            raise StoppedError
        return ()

    with pytest.raises(StoppedError):
        collect(asked, cut, engine=in_this_process, on_epoch=stop_at_1)
    collect(asked, cut, engine=in_this_process)
    rows = read_records(ExperimentFolder(whole))
    assert set(rows["condition"]) == {"scale"}
    assert comparable(ExperimentFolder(whole)).equals(comparable(ExperimentFolder(cut)))


def test_a_method_that_there_is_not_is_refused_before_anything_trains(tmp_path):
    with pytest.raises(ConfigError, match=r"training.condition: .*did you mean 'scale'"):
        collect(small("scal"), tmp_path / "x", engine=in_this_process)


def test_a_reservoir_cannot_be_conditioned_and_its_record_says_so():
    cohort = Cohort(tuple(variants(small("scale", "echo_state"))))
    (epoch,) = NativeTraining(cohort, Latch(delay=5, train=64, validation=32), 0)
    assert {trainee.status for trainee in epoch.trainees} == {"failed"}
    assert all("is frozen" in trainee.error for trainee in epoch.trainees)
