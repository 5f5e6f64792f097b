"""The Ray engine: a node killed in the middle of a run changes nothing in the records."""

import socket
import threading
import time

import pandas as pd
import pytest

from aelle.collection.collect import collect
from aelle.collection.status import status
from aelle.records import ExperimentFolder
from tests.faulty import has_recorded
from tests.small_collection import comparable, experiment

ray = pytest.importorskip("ray", reason="needs the ray extra")
pytestmark = [pytest.mark.slow, pytest.mark.timeout(240)]


def test_a_killed_node_costs_nothing(tmp_path):
    from ray.cluster_utils import Cluster

    from aelle.collection.ray_engine import RayCluster

    settings = experiment(networks={"per_combination": 6})
    collect(settings, tmp_path / "quiet", progress=False)
    cluster = Cluster(initialize_head=True, head_node_args={"num_cpus": 1, "include_dashboard": False})
    doomed = cluster.add_node(num_cpus=2)
    engine = RayCluster(cluster.address)
    unfinished_when_killed = []

    def kill_once_it_works():
        while not has_recorded(tmp_path / "x", 1):
            time.sleep(0.01)
        cluster.remove_node(doomed, allow_graceful=False)
        unfinished_when_killed.append(18 - status(ExperimentFolder(tmp_path / "x")).finished)

    try:
        cluster.wait_for_nodes()
        threading.Thread(target=kill_once_it_works, daemon=True).start()
        collect(settings, tmp_path / "x", progress=False, engine=engine)
        assert unfinished_when_killed
        assert unfinished_when_killed[0] > 0, "the run had already ended when the node was killed"
    finally:
        ray.shutdown()
        cluster.shutdown()
    pd.testing.assert_frame_equal(
        comparable(ExperimentFolder(tmp_path / "x")), comparable(tmp_path / "quiet"), check_exact=True
    )


def test_an_address_without_a_cluster_is_one_line_at_once():
    from aelle.collection.ray_engine import RayCluster

    with pytest.raises(ConnectionError, match=r"no Ray cluster answers at 127\.0\.0\.1:1: "):
        RayCluster("127.0.0.1:1")
    for address in ("nonsense", "", "http://host", "host:99999"):
        with pytest.raises(
            ConnectionError, match=rf"^'{address}' is no address of a Ray cluster; write host:port"
        ):
            RayCluster(address)
    assert not ray.is_initialized()


def test_gpus_that_a_cluster_lacks_are_missed_at_once():
    from aelle.collection.ray_engine import RayCluster

    with pytest.raises(ConnectionError, match=r"the Ray cluster has \d+ GPUs, and each cohort was to get 99"):
        RayCluster(gpus=99)
    assert not ray.is_initialized()


def test_a_server_that_is_no_cluster_is_one_line_and_no_endless_wait(monkeypatch):
    from aelle.collection import ray_engine

    monkeypatch.setattr(ray_engine, "_ANSWER_SECONDS", 8)
    with socket.create_server(("127.0.0.1", 0)) as server:  # accepts, and says nothing
        address = f"127.0.0.1:{server.getsockname()[1]}"
        with pytest.raises(
            ConnectionError, match=f"at {address} did not become a Ray cluster within 8 seconds"
        ):
            ray_engine.RayCluster(address)
    assert not ray.is_initialized()
