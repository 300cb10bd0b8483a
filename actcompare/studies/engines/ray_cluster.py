"""Train the groups of a study as tasks of a Ray cluster."""

import contextlib
import os
import sys
import uuid
from collections import deque
from collections.abc import Callable, Iterator, Sequence
from typing import Any

from actcompare import __version__
from actcompare.activations.user_code import describe
from actcompare.errors import ActcompareError, MissingExtraError
from actcompare.studies.cells import run_group
from actcompare.studies.engines.apart import fit_apart
from actcompare.studies.engines.knock import knock
from actcompare.studies.engines.workers import ATTEMPTS, AnyPlan, Group, lost
from actcompare.studies.fits.plan import FitPlan
from actcompare.studies.records import Outcome


def on_ray(
    plan: AnyPlan,
    groups: Sequence[Group],
    *,
    workers: int | None = None,
    address: str | None = None,
    gpus_per_task: float | None = 0,
) -> Iterator[list[Outcome]]:
    """Yield the outcomes of each group; Ray retries the tasks of a lost worker or node.

    Args:
        plan: Plan of the study; it is put into Ray's object store once.
        groups: Groups of cells, one task each.
        workers: Processes if Ray is started here; by default one per core.
        address: Address of a running cluster; None starts Ray here, and stops it afterwards.
        gpus_per_task: GPUs per task; None for 1 if the cluster has any, else 0.

    Raises:
        MissingExtraError: Ray is not installed.
        ActcompareError: No cluster answers, its nodes lack the resources of a task, or it has
            another version of actcompare.
    """
    try:
        import ray
    except ImportError:
        raise MissingExtraError("--engine ray needs Ray", "cluster") from None
    with _connected(ray, address, workers):
        cpus = plan.config.training.threads
        cluster: Any = ray.cluster_resources
        if gpus_per_task is None:
            gpus_per_task = float(cluster().get("GPU", 0) > 0)
        _check_cluster(ray, cpus, gpus_per_task)
        limits: dict[str, Any] = {"num_cpus": cpus, "num_gpus": gpus_per_task}
        remote = ray.remote(**limits, max_retries=ATTEMPTS - 1)
        for each in plan.users_own():
            _send_by_value(ray, each.loaded().function)
        submit = _submitter(ray, remote, plan.loaded())
        waiting = deque(groups)
        running: dict[Any, Group] = {}
        most = max(8, 4 * int(cluster().get("CPU", 1)))
        while waiting or running:
            while waiting and len(running) < most:
                group = waiting.popleft()
                running[submit(group)] = group
            (done,), _ = ray.wait(list(running))
            group = running.pop(done)
            try:
                outcomes: list[Outcome] = ray.get(done)
            except ray.exceptions.RayError as error:
                outcomes = lost(group, describe(error))
            yield outcomes


def _submitter(ray: Any, remote: Any, plan: AnyPlan) -> Callable[[Group], Any]:
    """Return what makes a task of a group, given a plan with users' functions imported."""
    if not isinstance(plan, FitPlan):
        task, sent = remote(run_group), ray.put(plan)
        return lambda group: task.remote(sent, group)
    # Its process beside the worker is no process of Ray's, and so gets the plan as bytes.
    task, sent = remote(fit_apart), ray.put(ray.cloudpickle.dumps(plan))
    more = plan.time_limit_s, plan.environment(), os.pathsep.join(filter(None, sys.path))
    key = uuid.uuid4().hex
    return lambda group: task.remote(sent, key, group, *more)


@contextlib.contextmanager
def _connected(ray: Any, address: str | None, workers: int | None) -> Iterator[None]:
    """Connect to Ray within the context; an existing connection is used and kept open."""
    if ray.is_initialized():
        yield
        return
    quiet: dict[str, Any] = {"log_to_driver": False, "logging_level": "ERROR"}
    os.environ.setdefault("RAY_ACCEL_ENV_VAR_OVERRIDE_ON_ZERO", "0")  # avoids a warning
    try:
        if address is None:
            ray.init("local", num_cpus=workers, include_dashboard=False, **quiet)
        else:
            knock(address)
            ray.init(address, **quiet)
    except (ConnectionError, OSError, RuntimeError, ValueError) as error:
        where = f"at {address}" if address else "on this machine"
        raise ActcompareError(
            f"no Ray cluster {where} ({describe(error)}): `ray start --head` starts one and prints"
            " its address; for one that needs a token, set RAY_AUTH_MODE=token"
        ) from error
    try:
        yield
    finally:
        ray.shutdown()


def _check_cluster(ray: Any, cpus: float, gpus: float) -> None:
    """Check that tasks can run, before any is submitted: Ray would wait forever."""
    largest = {
        name: max(node["Resources"].get(name, 0) for node in ray.nodes() if node["Alive"])
        for name in ("CPU", "GPU")
    }
    for name, wanted in (("CPU", cpus), ("GPU", gpus)):
        if wanted > largest[name]:
            raise ActcompareError(
                f"a task needs {wanted:g} {name}, but no node of the cluster has more than"
                f" {largest[name]:g}"
            )
    try:
        version = ray.get(ray.remote(num_cpus=cpus)(_version).remote())
    except ray.exceptions.RayError as error:
        raise ActcompareError(
            f"actcompare does not run on the cluster ({describe(error)}): install it on every node"
        ) from error
    if version != __version__:
        raise ActcompareError(
            f"the cluster has actcompare {version}, but this is {__version__}: install the same"
        )


def _version() -> str:
    return __version__


def _send_by_value(ray: Any, function: object) -> None:
    """Make Ray send the code of a user's module, which other machines may not have."""
    name = getattr(function, "__module__", None) or type(function).__module__
    if name in sys.modules and name.partition(".")[0] not in ("torch", "builtins", "__main__"):
        ray.cloudpickle.register_pickle_by_value(sys.modules[name])
