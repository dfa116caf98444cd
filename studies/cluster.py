"""Cells spread over a Ray cluster: a task for each group that shares a training or features.

Data and weights must be readable under the same path on every node, and so must this checkout and
the working directory. Cells are written by the process that began the study, as tasks end. A
task whose node dies begins again on another.
"""

import os
import socket
from collections.abc import Callable, Iterator, Sequence
from functools import lru_cache
from importlib.util import find_spec
from pathlib import Path
from typing import Any

from studies.run import Cell, attempt, environment

CHECKOUT = Path(__file__).parents[1]
RETRIES = 5
"""How often a task begins again whose node, or process, died."""
REACH_SECONDS = 5


def check(address: str | None) -> None:
    """Refuse a cluster that cannot be reached.

    Ray itself would try for minutes, and then end this process.

    Args:
        address: ``HOST:PORT``, ``"auto"`` for a cluster on this machine, or ``None`` for a new one.

    Raises:
        ValueError: Ray is not installed, or nothing answers at the address.
    """
    if find_spec("ray") is None:
        raise ValueError("engine: 'ray' must have Ray installed: pip install ray")
    if address in (None, "auto"):
        return
    host, _, port = address.removeprefix("ray://").rpartition(":")
    if not host or not port.isdecimal():
        raise ValueError(f"address: expected HOST:PORT or 'auto', got {address!r}")
    try:
        socket.create_connection((host, int(port)), REACH_SECONDS).close()
    except (OSError, OverflowError) as error:  # a port beyond 65535 overflows
        raise ValueError(f"address: cannot reach a Ray cluster at {address!r}: {error}") from error


def connect(address: str | None, needs: dict[str, float]) -> None:
    """Join a cluster, or start one of this machine.

    Args:
        address: see ``check``.
        needs: resources that one node must have, by Ray's names.

    Raises:
        ValueError: no cluster, or none with such a node.
    """
    import ray  # an optional extra, which takes a second to import

    os.environ.setdefault("RAY_USAGE_STATS_ENABLED", "0")  # nothing is sent without being asked
    # Else every task without a GPU brings a warning of how Ray will hide GPUs in the future.
    os.environ.setdefault("RAY_ACCEL_ENV_VAR_OVERRIDE_ON_ZERO", "0")
    path = os.pathsep.join(filter(None, (str(CHECKOUT), os.environ.get("PYTHONPATH"))))
    try:
        ray.init(
            address or "local",
            include_dashboard=False,
            log_to_driver=False,
            logging_level="ERROR",
            runtime_env={"env_vars": {"PYTHONPATH": path}},
        )
    except (ConnectionError, RuntimeError, ValueError) as error:
        reason = str(error).splitlines()[0]
        raise ValueError(f"address: cannot use a Ray cluster at {address!r}: {reason}") from error
    nodes = [node["Resources"] for node in ray.nodes() if node["Alive"]]
    if not any(all(node.get(name, 0) >= n for name, n in needs.items()) for node in nodes):
        ray.shutdown()
        raise ValueError(f"engine: a node of the Ray cluster must have {needs}, none has")


def spread(
    make: Callable[[], Any],
    groups: Sequence[Sequence[Cell]],
    *,
    device: str,
    address: str | None,
    cpus: int,
    gpus: int,
) -> Iterator[tuple[Cell, Cell]]:
    """Measure groups of keys in tasks of a Ray cluster.

    Args:
        make: makes what has ``measure(key)``; called once in every process of a node.
        groups: keys that share their slowest part; each group is a task.
        device: where the cells are measured.
        address: see ``check``.
        cpus: CPUs that a task takes, which is also how many threads torch has in it.
        gpus: GPUs that a task takes.

    Yields:
        Every key and its outcome, group by group as they end. An outcome has the environment of
        the node, or an ``error``.

    Raises:
        ValueError: no cluster, or none with so many CPUs and GPUs on a node.
    """
    import ray

    connect(address, {"CPU": cpus, "GPU": gpus})
    try:
        made = ray.put((make, device, Path.cwd()))
        options = {"num_cpus": cpus, "num_gpus": gpus, "max_retries": RETRIES}
        task = ray.remote(_measure).options(**options)
        # An object in a list is handed on as it is, so that a process opens it only once.
        groups_of = {task.remote([made], group): group for group in groups}
        while groups_of:
            (done,), _ = ray.wait(list(groups_of))
            group = groups_of.pop(done)
            try:
                outcomes = ray.get(done)
            except ray.exceptions.RayError as error:
                reason = f"{type(error).__name__}: {error}".splitlines()[0]
                outcomes = [{"error": reason}] * len(group)
            yield from zip(group, outcomes, strict=True)
    finally:
        ray.shutdown()


def _measure(made: list, group: Sequence[Cell]) -> list[Cell]:
    """Measure a group, in a process of a node."""

    def measure(key: Cell, tick: Callable[[float], None]) -> Cell:
        lab, here = _opened(*made)
        return lab.measure(key, tick) | here

    return [attempt(measure, key, lambda share: None) for key in group]


@lru_cache(1)
def _opened(made: Any) -> tuple[Any, Cell]:
    """Return the lab of this process, and its environment without the command."""
    import ray

    make, device, folder = ray.get(made)
    os.chdir(folder)
    here = environment(device)
    del here["command"]
    return make(), here
