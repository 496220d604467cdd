"""
One use of the user's own Airflow: parses one Dag file, asks one timetable, runs one task by the Task SDK's own supervisor, or
one callback.

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
# Of a module in an archive, unpacked. Others are bounded by whoever reads them.
MAX_MODULE = 4 * 1024 * 1024
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
jinja2.ext airflow.sdk._shared.logging.factory
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
    # The certificates of all public authorities, which every client of the SDK reads, and keeps for its process.
    with contextlib.suppress(Exception):
        from airflow.sdk.api import client

        client.Client._get_ssl_context_cached(client.API_SSL_CA_FILE_PATH, client.API_SSL_CERT_PATH)


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


class ParseReads:
    """What the Task SDK asks its supervisor for while a file is imported: variables and connections, and nothing else."""

    def __init__(self):
        self.last = 0

    def send(self, msg):
        from airflow.sdk.exceptions import ErrorType
        from airflow.sdk.execution_time import comms

        if isinstance(msg, comms.MaskSecret):
            return None
        if isinstance(msg, comms.GetVariable):
            question = {"type": "get_variable", "key": msg.key}
        elif isinstance(msg, comms.GetConnection):
            question = {"type": "get_connection", "conn_id": msg.conn_id}
        else:
            return comms.ErrorResponse(error=ErrorType.PERMISSION_DENIED, detail={"message": "not while a file is parsed"})
        self.last += 1
        send({**question, "id": self.last})
        answer = read_frame()
        error = answer.get("error")
        if error is None:
            kind = comms.VariableResult if isinstance(msg, comms.GetVariable) else comms.ConnectionResult
            return kind.model_validate(answer["value"])
        known = {403: ErrorType.PERMISSION_DENIED}
        if error["status"] == 404:
            is_variable = isinstance(msg, comms.GetVariable)
            known[404] = ErrorType.VARIABLE_NOT_FOUND if is_variable else ErrorType.CONNECTION_NOT_FOUND
        return comms.ErrorResponse(error=known.get(error["status"], ErrorType.GENERIC_ERROR), detail={"message": error["message"]})


def in_archive(file):
    """The file on disk, and the module of it that is meant where that is a zip archive, else None."""
    from airflow.utils.file import correct_maybe_zipped

    archive = os.fspath(correct_maybe_zipped(file))
    return archive, None if archive == file else os.path.relpath(file, archive)


def tell_source(archive, module):
    """Says the text of a module before any of it runs, as the import will find it, or returns why there is none."""
    import zipimport
    import zlib

    try:
        content = zipimport.zipimporter(archive).get_data(os.path.join(archive, module))
    except (ImportError, OSError, EOFError, MemoryError, zlib.error) as error:
        return f"The module can not be unpacked: {type(error).__name__} {error}"
    if len(content) > MAX_MODULE:
        return f"The module has more than {MAX_MODULE // 1024 // 1024} MiB."
    send({"type": "source", "text": content.decode(errors="replace")})
    return None


def import_only(module):
    """
    Each module of an archive is a Dag file of its own. Airflow takes all of them in one go, and when one fails it forgets
    those Dags of the others that no variable holds.
    """
    for name in ("airflow.dag_processing.importers.python_importer", "airflow.dag_processing.dagbag", "airflow.models.dagbag"):
        place = sys.modules.get(name)
        holds = getattr(place, "might_contain_dag", None)
        if holds is not None:
            place.might_contain_dag = lambda path, safe_mode, archive=None, holds=holds: (
                archive is None or path == module
            ) and holds(path, safe_mode, archive)


def parse(order):
    # What Airflow's own parse process says about itself; some imports and secret look-ups depend on it.
    os.environ["_AIRFLOW_PROCESS_CONTEXT"] = "client"
    os.environ["AIRFLOW__CORE__DAGS_FOLDER"] = order["bundle_root"]
    from pathlib import Path

    import airlock_timetable
    import structlog
    from airflow.dag_processing.processor import DagFileParseRequest, _parse_file

    from airflow.sdk.execution_time import task_runner

    task_runner.SUPERVISOR_COMMS = ParseReads()
    relative = order["relative_fileloc"]
    archive, module = in_archive(order["file"])
    if module is not None:
        reason = tell_source(archive, module)
        if reason is not None:
            hint = "Pack it stored or deflated, without a password."
            return send_parsed(error=problem(relative, reason, "", hint))
        import_only(module)
    request = DagFileParseRequest(
        file=archive, bundle_path=Path(order["bundle_root"]), bundle_name=order["bundle_name"]
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
    timetables = {}
    try:
        timetables = airlock_timetable.facts(dags)
    except Exception:
        errors = {**errors, relative: "\n".join([*errors.values(), traceback.format_exc()])}
        dags = []
    if not errors:
        send({"type": "bundled", "inputs": inputs_below(order["bundle_root"])})
    stack = "\n".join(errors.values())
    error = problem(relative, stack.strip().rsplit("\n", 1)[-1], stack) if errors else None
    send_parsed(dags, error, warnings, dag_warnings=about_dags, timetables=timetables)


def send_parsed(dags=(), error=None, warnings=(), **more):
    report = {"dags": list(dags), "module": None, "source": "", "inputs": [], "import_error": error, "warnings": list(warnings)}
    send({"type": "parsed", **report, **more})


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


def tell_failed_uploads():
    """The Task SDK says why it could not upload a log in the file that it could not upload. Here it is said aloud, too."""
    from airflow.sdk.execution_time import supervisor

    upload = getattr(supervisor.ActivitySubprocess, "_upload_logs", None)
    if upload is None:
        return

    def told(self):
        log, self.process_log = self.process_log, Watched(self.process_log)
        upload(self)
        if self.process_log.failure is not None:
            supervisor.log.error(self.process_log.failure)
        self.process_log = log

    supervisor.ActivitySubprocess._upload_logs = told


def run_task(order):
    """Hands the workload to `python -m airflow.sdk.execution_time.execute_workload`, in this process."""
    os.environ.update(order["env"])
    _, module = in_archive(os.path.join(order["env"]["AIRFLOW__CORE__DAGS_FOLDER"], order["workload"]["dag_rel_path"]))
    if module is not None:
        import_only(module)
    # A file in memory, so that it may be of any length. It is opened by its path and so read from its start.
    reader = os.memfd_create("workload")
    with open(reader, "wb", closefd=False) as file:
        file.write(json.dumps(order["workload"]).encode())
    sys.argv = ["execute_workload", "--json-path", f"/dev/fd/{reader}"]
    from airflow.sdk.execution_time import execute_workload

    notice_exits()
    tell_failed_uploads()
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


class Comms:
    """What user code asks its supervisor for, answered by the server through the relay, as Airflow's Dag processor does."""

    def __init__(self, order):
        from types import SimpleNamespace

        import structlog
        from airflow.sdk.api.client import Client

        self.client = Client(base_url=order["url"], token=order["bearer"])
        self.log = structlog.get_logger(logger_name="callback")
        self.parent = SimpleNamespace(client=self.client, id=order["order"]["dag_run"]["run_id"], send_msg=self.take)

    def take(self, answer, request_id=0, error=None, **_options):
        self.answer, self.error = answer, error

    def send(self, msg):
        from airflow.dag_processing.processor import DagFileProcessorProcess
        from airflow.sdk.api.client import ServerResponseError
        from airflow.sdk.exceptions import AirflowRuntimeError, ErrorType
        from airflow.sdk.execution_time.comms import ErrorResponse, GetPrevSuccessfulDagRun, PrevSuccessfulDagRunResult

        if isinstance(msg, GetPrevSuccessfulDagRun):
            # Airflow asks with the id of its process, for which there is no run before.
            return PrevSuccessfulDagRunResult()
        try:
            DagFileProcessorProcess._handle_request(self.parent, msg, self.log, 0)
        except ServerResponseError as refusal:
            detail = {"status_code": refusal.response.status_code, "message": str(refusal), "detail": refusal.detail}
            self.take(None, error=ErrorResponse(error=ErrorType.API_SERVER_ERROR, detail=detail))
        if self.error is not None:
            raise AirflowRuntimeError(error=self.error)
        return self.answer

    async def asend(self, msg):
        return self.send(msg)


class Watched:
    """A logger that remembers whether an exception went through it: Airflow logs what a callback raised, and goes on."""

    def __init__(self, log):
        self.log = log
        self.failure = None

    def __getattr__(self, name):
        return getattr(self.log, name)

    def exception(self, event, *args, **fields):
        error = sys.exc_info()[1]
        self.failure = f"{event % args if args else event}: {type(error).__name__}: {error}"
        traceback.print_exc()


def known(model, values):
    """Only what this release of Airflow knows: the server may be newer."""
    return {name: value for name, value in values.items() if name in model.model_fields}


def call_end(order, facts, log):
    """A callback of a Dag, or of a task whose process could not run it, by Airflow's own code for them."""
    from pathlib import Path

    from airflow.api_fastapi.execution_api.datamodels import taskinstance
    from airflow.callbacks.callback_requests import DagCallbackRequest, DagRunContext, TaskCallbackRequest
    from airflow.dag_processing.processor import DagFileParseRequest, _parse_file

    run = taskinstance.DagRun.model_validate(known(taskinstance.DagRun, facts["dag_run"]))
    ti = None
    if facts["ti"] is not None:
        values = {**facts["ti"], "dag_id": run.dag_id, "run_id": run.run_id}
        ti = taskinstance.TaskInstance.model_validate(known(taskinstance.TaskInstance, values))
    common = {
        "filepath": os.path.relpath(order["file"], order["bundle_root"]),
        "bundle_name": order["bundle_name"],
        "bundle_version": order["bundle_version"],
        "msg": facts["reason"],
    }
    if facts["kind"] == "dag":
        request = DagCallbackRequest(
            **common,
            dag_id=run.dag_id,
            run_id=run.run_id,
            is_failure_callback=facts["event"] == "failure",
            context_from_server=DagRunContext(dag_run=run, last_ti=ti),
        )
    else:
        retry = facts["event"] == "retry"
        context = {"dag_run": run, "max_tries": facts["ti"]["max_tries"], "should_retry": retry}
        request = TaskCallbackRequest(
            **common,
            ti=ti,
            task_callback_type="up_for_retry" if retry else "failed",
            context_from_server=taskinstance.TIRunContext(**context),
        )
    file = DagFileParseRequest(
        file=in_archive(order["file"])[0],
        bundle_path=Path(order["bundle_root"]),
        bundle_name=order["bundle_name"],
        callback_requests=[request],
    )
    _parse_file(file, log)


def load_callable(order, path):
    """The function or class that a deadline names; one of the Dag file itself is named by a prefix that Airflow makes up."""
    from importlib.util import module_from_spec, spec_from_file_location

    module_name, name = path.rsplit(".", 1)
    if module_name.startswith("unusual_prefix_"):
        spec = spec_from_file_location(module_name, order["file"])
        module = module_from_spec(spec)
        sys.modules[module_name] = module
        spec.loader.exec_module(module)
    else:
        module = importlib.import_module(module_name)
    return getattr(module, name)


def parameters(function):
    import inspect

    try:
        return list(inspect.signature(function).parameters.values())
    except (TypeError, ValueError):
        return None


def takes_context(function):
    """Also by any keyword; what says nothing of itself is taken to take it."""
    found = parameters(function)
    return found is None or any(p.name == "context" or p.kind is p.VAR_KEYWORD for p in found)


def takes_keywords(function):
    found = parameters(function)
    return found is None or any(p.kind in (p.POSITIONAL_OR_KEYWORD, p.KEYWORD_ONLY, p.VAR_KEYWORD) for p in found)


async def awaited(value):
    return await value


def call_deadline(order, facts):
    """Functions, coroutine functions and notifiers, called as Airflow's executors and triggerer call them."""
    import asyncio
    import inspect

    target = facts["target"]
    run = facts["dag_run"]
    context = {"dag_run": {**run, "dag_run_id": run["run_id"]}, "deadline": target["deadline"]}
    function = load_callable(order, target["path"])
    kwargs = {**target["kwargs"], **({"context": context} if takes_context(function) else {})}
    result = function(**kwargs)
    if inspect.iscoroutine(result) or (target["asynchronous"] and inspect.isawaitable(result)):
        asyncio.run(awaited(result))
    elif callable(result) and not takes_keywords(result):
        result(context)
    elif callable(result):
        result(**({"context": context} if takes_context(result) else {}))


def run_callback(order):
    os.environ.update(order["env"])
    os.environ["_AIRFLOW_PROCESS_CONTEXT"] = "client"
    os.set_inheritable(CHANNEL, False)
    import structlog
    from airflow.sdk.execution_time import task_runner

    archive, module = in_archive(order["file"])
    if module is not None:
        import_only(module)
        # What is defined there is named by its module, as nothing else of an archive has another name.
        sys.path.insert(0, archive)
    sys.path.append(order["bundle_root"])
    task_runner.SUPERVISOR_COMMS = Comms(order)
    facts = order["order"]
    log = Watched(structlog.get_logger(logger_name="task"))
    failure = None
    try:
        if facts["kind"] == "deadline":
            call_deadline(order, facts)
        else:
            call_end(order, facts, log)
    except Exception as error:
        traceback.print_exc()
        failure = f"{type(error).__name__}: {error}"
    failure = failure or log.failure
    sys.stdout.flush()
    sys.stderr.flush()
    if failure is None:
        outcome = {"state": "success", "has_value": False, "mapped_length": None}
    else:
        error = {"name": "CallbackFailed", "message": failure[:8000], "stack": ""}
        outcome = {"state": "failed", "retryable": False, "error": error}
    send({"type": "result", "outcome": outcome})


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
        send_parsed(error=found)
        return
    send({"type": "idle", "pid": os.getpid()})
    order = read_frame()
    if order["type"] == "parse":
        os.set_inheritable(CHANNEL, False)
        parse(order)
    elif order["type"] == "ask_timetable":
        os.set_inheritable(CHANNEL, False)
        import airlock_timetable

        from airflow.sdk.execution_time import task_runner

        task_runner.SUPERVISOR_COMMS = ParseReads()
        send({"type": "timetable_answered", "answer": airlock_timetable.answer(order)})
    elif order["type"] == "python_callback":
        run_callback(order)
    else:
        # Nothing more is said there, and what the task starts must not find it.
        os.close(CHANNEL)
        run_task(order)


def run_by(main):
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
    run_by(main)
