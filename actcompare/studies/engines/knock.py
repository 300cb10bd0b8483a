"""Find out within seconds whether an address is that of a Ray cluster.

Ray itself retries for minutes where nothing answers, or something else does. So a process of its
own connects first, and is stopped when it takes too long.
"""

import os
import socket
import subprocess
import sys

_PATIENCE_S = 8.0
"""Seconds a cluster may take to answer; a cluster at rest takes 1."""

_CONNECTED = "connected"


def knock(address: str, patience_s: float = _PATIENCE_S) -> None:
    """Check that a cluster answers at HOST:PORT, ray://HOST:PORT or auto.

    Raises:
        ConnectionError: No cluster answers.
        ValueError: The address has another form.
    """
    _, colon, port = address.removeprefix("ray://").rpartition(":")
    if address != "auto" and not (colon and port.isdigit()):
        raise ValueError("an address is HOST:PORT or auto")
    code = "from actcompare.studies.engines.knock import connect; connect()"
    with subprocess.Popen(
        [sys.executable, "-c", code, address],
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        env=os.environ | {"PYTHONPATH": os.pathsep.join(filter(None, sys.path))},
        text=True,
    ) as process:
        assert process.stdout is not None
        try:
            process.stdout.readline()  # Ray is imported
            said, log = process.communicate(timeout=patience_s)
        except subprocess.TimeoutExpired:
            process.kill()
            _, log = process.communicate()
            said = f"nothing there answers as Ray within {patience_s:g} s"
        finally:
            process.kill()
    if "InvalidAuthToken" in log:
        said = "the cluster asks for its token"
    if said.strip() != _CONNECTED:
        raise ConnectionError(said.strip() or "the connection failed")


def connect() -> None:
    """Connect to the address that is this process's argument, and print how that ended."""
    address = sys.argv[1]
    host, _, port = address.removeprefix("ray://").rpartition(":")
    import ray

    sys.stdout.write("\n")
    sys.stdout.flush()
    try:
        if port.isdigit():
            socket.create_connection((host.strip("[]"), int(port))).close()
        ray.init(address, log_to_driver=False)
    except Exception as error:  # Ray raises errors of many kinds
        lines = str(error).strip().splitlines()
        sys.stdout.write(lines[0] if lines else type(error).__name__)
    else:
        sys.stdout.write(_CONNECTED)
