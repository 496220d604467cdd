"""
The triggers of one bundle, by the user's own Airflow: an event loop that runs the real trigger classes until each has an event.

Started inside the sandbox as airlock_host.py is, with no token and no database. It says what a trigger came to, logs, and
asks the Execution API, all by frames on descriptor 3 (contract/src/ipc/trigger.ts); each frame names the trigger that it is
about, and the server decides by the task instance that waits for it.
"""

import asyncio
import contextlib
import contextvars
import io
import json
import logging
import os
import sys
import threading
import traceback

import airlock_host

CURRENT = contextvars.ContextVar("airlock_trigger", default=None)
USER_ACTION = "airlock: ended by a user"
MAX_TRACEBACK_LINES = 500
LEVELS = {"debug", "info", "warning", "error", "critical"}
BEAT_SECONDS = 1

write_lock = threading.Lock()


def current():
    """The trigger in whose name something is done here; for a stream that several share, one of those that still do."""
    trigger = CURRENT.get()
    return min(trigger, default=None) if isinstance(trigger, set) else trigger


def send(frame):
    with write_lock:
        airlock_host.send(frame)


class Calls:
    """Requests to the Execution API: each waits in its own thread for the answer that the reader hands it."""

    def __init__(self):
        self.lock = threading.Lock()
        self.waiting = {}
        self.count = 0

    def ask(self, frame):
        trigger = current()
        if trigger is None:
            raise RuntimeError("the API can be asked only from within a trigger")
        waiting = {"done": threading.Event(), "frame": None}
        with self.lock:
            self.count += 1
            number = self.count
            self.waiting[number] = waiting
        send({**frame, "id": number, "trigger_id": trigger})
        waiting["done"].wait()
        return waiting["frame"]

    def call(self, method, path, headers, body):
        return self.ask({"type": "trigger_call", "method": method, "path": path, "headers": headers, "body": body})

    def event(self, payload):
        """Tells an event of an asset, by its JSON text. Returns when the server has it. @raises RuntimeError: it does not take it"""
        answer = self.ask({"type": "trigger_event", "payload": payload})
        if answer.get("error") is not None:
            raise RuntimeError(answer["error"]["message"])

    def settle(self, frame):
        with self.lock:
            waiting = self.waiting.pop(frame["id"], None)
        if waiting is not None:
            waiting["frame"] = frame
            waiting["done"].set()


CALLS = Calls()


def make_client():
    """Airflow's own client of the Execution API, over the channel instead of a network."""
    import httpx
    from airflow.sdk.api.client import Client

    class Channel(httpx.BaseTransport):
        def handle_request(self, request):
            headers = {k: v for k, v in request.headers.items() if k.lower() == "airflow-api-version"}
            text = request.read().decode()
            path = request.url.raw_path.decode()
            frame = CALLS.call(request.method, path, headers, text or None)
            if frame.get("error") is not None:
                raise httpx.ConnectError(frame["error"]["message"])
            value = frame["value"]
            return httpx.Response(value["status"], headers=value["headers"], content=value["body"].encode(), request=request)

    return Client(base_url=None, dry_run=True, token="", transport=Channel())


def make_comms():
    """What the Task SDK asks when a trigger reads a variable, a connection or an XCom: Airflow's own handling of each message."""
    import greenback
    from airflow.jobs import triggerer_job_runner as reference
    from airflow.sdk.api.client import ServerResponseError
    from airflow.sdk.exceptions import AirflowRuntimeError, ErrorType
    from airflow.sdk.execution_time.comms import ErrorResponse
    from pydantic import TypeAdapter

    answers = TypeAdapter(reference.ToTriggerRunner)
    log = logging.getLogger("airflow.triggers")

    class Handler(reference.TriggerRunnerSupervisor):
        client = make_client()
        _last_runner_comms = 0.0

        def __init__(self):
            self.given = None

        def send_msg(self, msg, request_id=None, error=None, **options):
            if error is not None:
                raise AirflowRuntimeError(error)
            self.given = None if msg is None else answers.validate_python(msg.model_dump(**options))

    def handle(message):
        handler = Handler()
        try:
            handler._handle_request(message, log, 0)
        except ServerResponseError as error:
            detail = {
                "status_code": error.response.status_code,
                "message": str(error),
                "detail": error.detail,
            }
            raise AirflowRuntimeError(ErrorResponse(error=ErrorType.API_SERVER_ERROR, detail=detail)) from None
        return handler.given

    class Comms:
        def __init__(self):
            self.loop_thread = threading.get_ident()

        # The Task SDK names this argument in some of its calls.
        async def asend(self, msg):
            return await asyncio.to_thread(handle, msg)

        def send(self, msg):
            if threading.get_ident() == self.loop_thread:
                return greenback.await_(self.asend(msg))
            return handle(msg)

    return Comms()


def json_text(value):
    """Values of authors go as text, so that nobody on the way makes other numbers of them. @raises ValueError for NaN"""
    return json.dumps(value, allow_nan=False, separators=(",", ":"))


def payload_text(event):
    """An event as its task gets it. On Airflow it crosses a channel of MessagePack: of tuples and sets lists are left, of pendulum's times plain ones."""
    import msgspec
    from airflow.sdk.execution_time.comms import _RequestFrame
    from airflow.sdk.serde import serialize

    _number, body, *_rest = msgspec.msgpack.decode(_RequestFrame(id=0, body=event.model_dump()).as_bytes()[4:])
    return json_text(serialize(body["payload"]))


def plain(value):
    try:
        json.dumps(value)
    except (TypeError, ValueError):
        return str(value)
    return value


def say(level, event, fields=None):
    send(
        {
            "type": "trigger_log",
            "trigger_id": current(),
            "level": level if level in LEVELS else "info",
            "event": str(event)[:100_000],
            "fields": {str(key): plain(value) for key, value in (fields or {}).items()},
        }
    )


def take_logs():
    """Everything that is logged goes to the task whose trigger logs it."""
    import structlog

    def out(_logger, method, event):
        fields = {key: value for key, value in event.items() if not key.startswith("_")}
        text = fields.pop("event", "")
        say({"warn": "warning", "exception": "error", "fatal": "critical"}.get(method, method), text, fields)
        raise structlog.DropEvent

    structlog.configure(
        processors=[structlog.processors.format_exc_info, out],
        wrapper_class=structlog.make_filtering_bound_logger(logging.INFO),
        cache_logger_on_first_use=False,
    )

    class Frames(logging.Handler):
        def emit(self, record):
            with contextlib.suppress(Exception):
                text = record.getMessage()
                if record.exc_info:
                    text += "\n" + "".join(traceback.format_exception(*record.exc_info))
                say(record.levelname.lower(), text, {"name": record.name})

    sys.stdout = Printed(sys.stdout, "info")
    sys.stderr = Printed(sys.stderr, "error")
    root = logging.getLogger()
    root.handlers[:] = [Frames()]
    root.setLevel(logging.INFO)
    for name in list(logging.root.manager.loggerDict):
        logger = logging.getLogger(name)
        logger.handlers[:] = []
        logger.propagate = True


def lines_of(error):
    lines = traceback.format_exception(type(error), error, error.__traceback__)
    return [line[:20_000] for line in lines][-MAX_TRACEBACK_LINES:]


class Printed(io.TextIOBase):
    """What a trigger prints goes to its task's log; what anybody else prints, to the process's own output."""

    def __init__(self, stream, level):
        self.stream = stream
        self.level = level
        self.rest = {}

    def writable(self):
        return True

    def write(self, text):
        trigger = current()
        if trigger is None:
            return self.stream.write(text)
        *lines, rest = (self.rest.pop(trigger, "") + text).split("\n")
        for line in lines:
            say(self.level, line, {"printed": True})
        if rest:
            self.rest[trigger] = rest[-10_000:]
        return len(text)

    def flush(self):
        self.stream.flush()


def make_streams():
    """What watches for events and shares one stream with its like; None: this Airflow has no such thing."""
    try:
        from airflow.triggers.shared_stream import SharedStreamManager
    except ImportError:
        return None
    from airflow.configuration import conf

    return SharedStreamManager(
        max_subscriber_queue=conf.getint("triggerer", "shared_stream_subscriber_queue_size"),
        ack_timeout=conf.getfloat("triggerer", "shared_stream_ack_timeout"),
        cohort_grace_period=conf.getfloat("triggerer", "shared_stream_cohort_grace_period"),
    )


class Runner:
    def __init__(self, order):
        from airflow.triggers import base

        self.base = base
        self.streams = make_streams()
        self.sharing = {}
        self.tasks = {}
        self.classes = {}
        self.kill_seconds = order["on_kill_seconds"]

    def trigger_of(self, workload):
        """The object of the author's class. @raises whatever the class, or its arguments, do"""
        from airflow.models.trigger import Trigger
        from datetime import datetime

        try:
            from airflow.serialization.decoders import smart_decode_trigger_kwargs as decode
        except ImportError:

            def decode(value):
                return value

        classpath = workload["classpath"]
        if classpath not in self.classes:
            module, _, name = classpath.rpartition(".")
            __import__(module)
            self.classes[classpath] = getattr(sys.modules[module], name)
        if workload["ti"] is None:
            # As the document of the Dag has them: each value is plain or tagged by itself.
            arguments = {key: decode(value) for key, value in json.loads(workload["kwargs"]).items()}
        else:
            arguments = {key: decode(value) for key, value in Trigger._decrypt_kwargs(workload["kwargs"]).items()}
        trigger = self.classes[classpath](**arguments)
        trigger.trigger_id = workload["id"]
        trigger.triggerer_job_id = None
        if workload["ti"] is not None:
            self.place(trigger, workload)
        else:
            self.keep(trigger, workload["assets"])
        after = workload["timeout_after"]
        trigger.timeout_after = None if after is None else datetime.fromisoformat(after.replace("Z", "+00:00"))
        return trigger

    def place(self, trigger, workload):
        """Tells a trigger which task waits for it, and renders what is a template in its arguments."""
        from airflow.executors import workloads
        from airflow.jobs import triggerer_job_runner as reference

        dto = getattr(workloads, "TaskInstanceDTO", None) or workloads.TaskInstance
        trigger.task_instance = dto.model_validate(workload["ti"])
        start = workload.get("start")
        create = getattr(reference.TriggerRunner, "create_runtime_ti", None)
        if start is None or create is None:
            return
        ti = create(trigger.task_instance, start["dag_data"], start["dag_run_data"])
        trigger.task_instance = ti
        trigger.render_template_fields(context=ti.get_template_context())

    def keep(self, trigger, assets):
        """Gives what watches for assets a place to keep things of them."""
        from airflow.sdk.definitions.asset import Asset

        try:
            from airflow.sdk.execution_time.context import AssetStateStoreAccessors
        except ImportError:
            return
        inlets = [Asset(name=asset["name"], uri=asset["uri"]) for asset in assets]
        trigger.asset_state_store = AssetStateStoreAccessors(inlets=inlets)

    async def watch(self, trigger, number):
        """Tells each event of what watches for assets, of its own or of a stream that it shares, until there are no more."""
        key = self.stream_of(trigger)
        if key is None:
            async for event in trigger.run():
                await self.tell(event)
            return
        sharing = self.sharing.setdefault(key, set())
        # What reads the stream goes on when the one that began it has left.
        context = contextvars.copy_context()
        context.run(CURRENT.set, sharing)
        stream = context.run(lambda: self.streams.subscribe(trigger_id=number, trigger=trigger, key=key))
        sharing.add(number)
        try:
            async for event in trigger.filter_shared_stream(stream):
                # Bound to what came of the stream before anything else runs; told is stored.
                bound = self.streams.bind_pending_event(trigger_id=number, key=key)
                await self.tell(event)
                if bound is not None:
                    self.streams.confirm_persisted([bound])
        finally:
            sharing.discard(number)
            if not sharing and self.sharing.get(key) is sharing:
                del self.sharing[key]
            await self.streams.unsubscribe(number, key)

    def stream_of(self, trigger):
        if self.streams is None or not isinstance(trigger, self.base.BaseEventTrigger):
            return None
        try:
            return trigger.shared_stream_key()
        except Exception as error:
            say("error", "shared_stream_key failed, so it runs by itself:\n" + "".join(lines_of(error)))
            return None

    def outcome_of(self, event):
        from airflow.sdk.serde import serialize

        state = getattr(event, "task_instance_state", None)
        if state is not None:
            xcoms = {key: json_text(serialize(value)) for key, value in (event.xcoms or {}).items()}
            return {"kind": "end", "state": str(getattr(state, "value", state)), "xcoms": xcoms}
        return {"kind": "event", "payload": payload_text(event)}

    def end(self, number, outcome):
        send({"type": "trigger_outcome", "trigger_id": number, "outcome": outcome})

    async def run(self, workload):
        import greenback

        number = workload["id"]
        CURRENT.set(number)
        await greenback.ensure_portal()
        trigger = None
        try:
            trigger = self.trigger_of(workload)
            if workload["ti"] is None:
                await self.watch(trigger, number)
                self.end(number, {"kind": "failure", "traceback": None})
                return
            async for event in trigger.run():
                self.fired(event)
                self.end(number, self.outcome_of(event))
                return
            say("error", "The trigger ended without an event, so its task fails.")
            self.end(number, {"kind": "failure", "traceback": None})
        except asyncio.CancelledError as reason:
            if trigger is not None and reason.args and reason.args[0] == USER_ACTION:
                await self.killed(trigger)
        except BaseException as error:  # SystemExit of one trigger must not end the others
            lines = lines_of(error)
            if workload["ti"] is not None:
                say("error", "The trigger failed, so its task fails:\n" + "".join(lines))
            self.end(number, {"kind": "failure", "traceback": lines})
        finally:
            # It may have begun anew by now.
            if self.tasks.get(number) is asyncio.current_task():
                del self.tasks[number]
            if trigger is not None:
                with contextlib.suppress(BaseException):
                    await asyncio.wait_for(trigger.cleanup(), self.kill_seconds or 1)

    def fired(self, event):
        say("info", "Trigger fired event", {"result": repr(event)[:10_000]})

    async def tell(self, event):
        self.fired(event)
        await asyncio.to_thread(CALLS.event, payload_text(event))

    async def killed(self, trigger):
        on_kill = getattr(trigger, "on_kill", None)
        if on_kill is None:
            return
        try:
            await asyncio.wait_for(on_kill(), self.kill_seconds)
        except BaseException as error:
            say("warning", f"on_kill failed: {error!r}")

    def take(self, frame):
        if frame["type"] == "trigger_start":
            workload = frame["trigger"]
            self.tasks[workload["id"]] = asyncio.ensure_future(self.run(workload))
        elif frame["type"] == "trigger_cancel":
            task = self.tasks.get(frame["id"])
            if task is not None:
                task.cancel(USER_ACTION if frame["kill"] else "stopped")

    async def serve(self):
        from airflow.sdk.execution_time import task_runner

        task_runner.SUPERVISOR_COMMS = make_comms()
        loop = asyncio.get_running_loop()

        def read():
            while True:
                frame = airlock_host.read_frame()  # ends the process when the parent is gone
                if frame["type"] == "answer":
                    CALLS.settle(frame)
                else:
                    loop.call_soon_threadsafe(self.take, frame)

        def reading():
            try:
                read()
            finally:
                os._exit(0)

        threading.Thread(target=reading, daemon=True).start()
        send({"type": "idle", "pid": os.getpid()})
        while True:
            send({"type": "beat"})
            await asyncio.sleep(BEAT_SECONDS)


def main():
    order = airlock_host.read_frame()
    os.environ.update(order["env"])
    os.environ["AIRFLOW_HOME"] = os.environ["HOME"]
    os.environ["_AIRFLOW_PROCESS_CONTEXT"] = "client"
    os.set_inheritable(airlock_host.CHANNEL, False)
    sys.path.insert(0, order["bundle_root"])
    try:
        import airflow.jobs.triggerer_job_runner  # noqa: F401
    except ImportError as error:
        sys.exit(f"{sys.executable} has no usable Airflow 3: {error}")
    take_logs()
    asyncio.run(Runner(order).serve())


if __name__ == "__main__":
    airlock_host.run_by(main)
