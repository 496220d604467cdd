"""
One use of the user's own Airflow: parses one Dag file, or runs one task by the Task SDK's own supervisor.

Started inside the sandbox, with no token, no database and no user file. It imports Airflow, says so on descriptor 3, and
waits there for its one order; as a template it forks instead, and its forks wait, each inside a sandbox of its own. Frames are a 4-byte big-endian length and UTF-8 JSON, as contract/src/ipc/runner.ts says.
Runs on every Python that Airflow 3 runs on, and imports nothing but the standard library and Airflow.
"""

import atexit
import contextlib
import importlib
import json
import os
import selectors
import signal
import sys
import threading
import time
import traceback

CHANNEL = 3
# A template's orders, each with the descriptors of the fork.
CONTROL = 5
MAX_FRAME = 64 * 1024 * 1024


def read_exactly(length):
    parts = []
    while length > 0:
        part = os.read(CHANNEL, min(length, 1 << 20))
        if not part:
            sys.exit(0)  # the parent is gone
        parts.append(part)
        length -= len(part)
    return b"".join(parts)


def read_frame():
    length = int.from_bytes(read_exactly(4), "big")
    if length > MAX_FRAME:
        sys.exit(f"a frame of {length} bytes")
    return json.loads(read_exactly(length))


def send(frame):
    body = json.dumps(frame).encode()
    data = memoryview(len(body).to_bytes(4, "big") + body)
    while data:
        data = data[os.write(CHANNEL, data) :]


# What the Task SDK and the usual operators import only when a task is running, by comparing sys.modules before and after one.
# An installation that lacks some of them works as well.
LATER = """
airflow.executors.base_executor airflow.executors.workloads.types airflow.sdk._shared.logging.remote
airflow.sdk.definitions.connection airflow.dag_processing.bundles.local airflow.sdk.definitions.decorators
airflow.sdk.definitions.asset.metadata airflow.sdk.bases.branch airflow.providers.standard.decorators.python
airflow.providers.standard.operators.python airflow.providers.standard.operators.bash setproctitle stringprep encodings.idna
jinja2.ext
""".split()


def load_airflow():
    """Imports what a parse and a task need. The home of Airflow is the private folder of this process."""
    os.environ["AIRFLOW_HOME"] = os.environ["HOME"]
    import airflow  # noqa: F401
    import airflow.dag_processing.processor  # noqa: F401
    import airflow.sdk.execution_time.execute_workload  # noqa: F401
    import airflow.sdk.execution_time.task_runner  # noqa: F401

    for name in LATER:
        with contextlib.suppress(ImportError):
            importlib.import_module(name)


def inputs_below(root):
    """Files of the bundle that have been imported, relative."""
    found = set()
    for module in list(sys.modules.values()):
        path = getattr(module, "__file__", None)
        if isinstance(path, str) and path.startswith(root + os.sep) and path.endswith(".py"):
            found.add(os.path.relpath(path, root))
    return sorted(found)


def problem(file, message, stack="", hint=""):
    return {"message": message, "file": file, "line": None, "column": None, "hint": hint, "stack": stack}


def parse(order):
    # What Airflow's own parse process says about itself; some imports and secret look-ups depend on it.
    os.environ["_AIRFLOW_PROCESS_CONTEXT"] = "client"
    os.environ["AIRFLOW__CORE__DAGS_FOLDER"] = order["bundle_root"]
    from pathlib import Path

    import structlog
    from airflow.dag_processing.processor import DagFileParseRequest, _parse_file

    relative = order["relative_fileloc"]
    request = DagFileParseRequest(
        file=order["file"], bundle_path=Path(order["bundle_root"]), bundle_name=order["bundle_name"]
    )
    result = _parse_file(request, structlog.get_logger(logger_name="task"))
    errors = result.import_errors or {}
    dags = [dag.data for dag in result.serialized_dags]
    for document in dags:
        # The folder may be known to others by another name than the one that it is shown under here.
        document["dag"]["fileloc"] = order["fileloc"]
    found = [w for w in result.warnings or [] if isinstance(w, dict)]
    about_dags = [
        {"dag_id": str(w["dag_id"]), "warning_type": str(w["warning_type"]), "message": str(w["message"])[:20000]}
        for w in found[:1000]
        if w.get("dag_id") and w.get("warning_type") in ("runtime varying value", "asset conflict")
    ]
    warnings = [str(w) for w in result.warnings or [] if not isinstance(w, dict)]
    if not errors:
        send({"type": "bundled", "inputs": inputs_below(order["bundle_root"])})
    stack = "\n".join(errors.values())
    send(
        {
            "type": "parsed",
            "dags": dags,
            "module": None,
            "source": "",
            "inputs": [],
            "import_error": problem(relative, stack.strip().rsplit("\n", 1)[-1], stack) if errors else None,
            "warnings": warnings,
            "dag_warnings": about_dags,
        }
    )


def notice_exits():
    """
    The Task SDK's supervisor looks whether its task has ended whenever its selector wakes, and for a task that has closed
    its sockets that is up to five seconds late. A signal wakes it: InterruptedError means "nothing is ready" to a selector.
    """
    nudging = []

    def nudge():
        # One signal may come just before the selector sleeps; so for as long as it would sleep, several do.
        for _ in range(250):
            time.sleep(0.02)
            os.kill(os.getpid(), signal.SIGCHLD)

    def on_child(_number, frame):
        if not nudging:
            nudging.append(True)
            threading.Thread(target=nudge, daemon=True).start()
        if frame is not None and frame.f_code.co_name == "select" and frame.f_code.co_filename == selectors.__file__:
            raise InterruptedError

    signal.signal(signal.SIGCHLD, on_child)
    os.register_at_fork(after_in_child=lambda: signal.signal(signal.SIGCHLD, signal.SIG_DFL))


def run_task(order):
    """Hands the workload to `python -m airflow.sdk.execution_time.execute_workload`, in this process."""
    os.environ.update(order["env"])
    # A file in memory, so that it may be of any length. It is opened by its path and so read from its start.
    reader = os.memfd_create("workload")
    with open(reader, "wb", closefd=False) as file:
        file.write(json.dumps(order["workload"]).encode())
    sys.argv = ["execute_workload", "--json-path", f"/dev/fd/{reader}"]
    from airflow.sdk.execution_time import execute_workload

    notice_exits()
    execute_workload.main()


def be_template():
    """Forks for each order of the parent, and returns only in such a fork, which goes on as a process started for one use."""
    import gc

    import airlock_fork

    load_airflow()
    reason = airlock_fork.why_not()
    if reason is not None:
        sys.exit(reason)
    # What is there now is nobody's garbage: looking at it would copy its memory in each fork.
    gc.collect()
    gc.freeze()
    send({"type": "idle", "pid": os.getpid()})
    airlock_fork.serve(CONTROL, CHANNEL)


def main():
    try:
        if sys.argv[1:] == ["template"]:
            be_template()
        else:
            load_airflow()
    except ImportError as error:
        if sys.argv[1:] == ["template"]:
            sys.exit(f"{sys.executable} has no usable Airflow 3: {error}")
        order = read_frame()
        if order["type"] != "parse":
            sys.exit(f"{sys.executable} has no usable Airflow 3: {error}")
        hint = "Set [python] interpreter to a Python that has apache-airflow 3."
        text = f"{sys.executable} has no usable Airflow 3: {error}"
        found = problem(order["relative_fileloc"], text, "", hint)
        send({"type": "parsed", "dags": [], "module": None, "source": "", "inputs": [], "import_error": found, "warnings": []})
        return
    send({"type": "idle", "pid": os.getpid()})
    order = read_frame()
    if order["type"] == "parse":
        os.set_inheritable(CHANNEL, False)
        parse(order)
    else:
        # Nothing more is said there, and what the task starts must not find it.
        os.close(CHANNEL)
        run_task(order)


def run():
    """
    Ends without taking the interpreter down piece by piece, which takes as long as a task: what was registered to run at the
    end does run, and the kernel has the rest.
    """
    code = 0
    try:
        main()
    except SystemExit as end:
        if isinstance(end.code, str):
            print(end.code, file=sys.stderr)
        code = end.code if isinstance(end.code, int) else 0 if end.code is None else 1
    except BaseException:
        traceback.print_exc()
        code = 1
    atexit._run_exitfuncs()
    for stream in (sys.stdout, sys.stderr):
        with contextlib.suppress(Exception):
            stream.flush()
    os._exit(code)


if __name__ == "__main__":
    run()
