"""
What a parse says about timetables that are the author's own, and the answer of one to the one question of a process.

Run by airlock_host.py, inside the sandbox. Airflow's own decoder finds the class: one that a plugin of the interpreter registers.
Runs on every Python that Airflow 3 runs on, and imports nothing but the standard library and Airflow.
"""

import os
import signal
import sys
import time
import traceback
from datetime import timezone

CORE = ("airflow.timetables.", "airflow.sdk.definitions.timetables.")
MAX_PROBLEM = 20_000
# Looking ahead beyond the next run is worth no more than this, seconds.
LOOK_AHEAD = 2.0


def is_custom(document):
    """Also of a class of Airflow's that holds one of the author's own."""
    if not isinstance(document, dict):
        return False
    if isinstance(document.get("__type"), str) and not document["__type"].startswith(CORE):
        return True
    inner = document.get("__var")
    return isinstance(inner, dict) and is_custom(inner.get("timetable"))


def decode(document):
    from airflow.serialization.decoders import decode_timetable

    return decode_timetable(document)


def facts(documents):
    """By Dag id, of those serialized Dags whose timetable is the author's own. Raises what the timetable raises."""
    found = {}
    for document in documents:
        dag = document["dag"]
        if not is_custom(dag["timetable"]):
            continue
        timetable = decode(dag["timetable"])
        timetable.validate()
        if timetable.partitioned:
            raise NotImplementedError("A timetable of one's own can't be partitioned: use CronPartitionTimetable.")
        found[dag["dag_id"]] = {
            "summary": str(timetable.summary)[:1000],
            "description": str(timetable.description)[:5000],
            "periodic": bool(timetable.periodic),
        }
    return found


def read_instant(text):
    import pendulum

    return None if text is None else pendulum.instance(pendulum.parse(text)).in_timezone("UTC")


def show_instant(value):
    if value.tzinfo is None:
        raise ValueError(f"{value} has no time zone")
    return value.astimezone(timezone.utc).strftime("%Y-%m-%dT%H:%M:%S.%fZ").rjust(27, "0")


def read_interval(interval):
    from airflow.timetables.base import DataInterval

    return None if interval is None else DataInterval(read_instant(interval["start"]), read_instant(interval["end"]))


def show_interval(interval):
    return None if interval is None else {"start": show_instant(interval.start), "end": show_instant(interval.end)}


def run_id(timetable, run_type, run_after, interval):
    """None where the timetable leaves it as Airflow has it, which the server can make without a question."""
    from airflow.timetables.base import Timetable
    from airflow.utils.types import DagRunType

    if type(timetable).generate_run_id is Timetable.generate_run_id:
        return None
    return str(timetable.generate_run_id(run_type=DagRunType(run_type), run_after=run_after, data_interval=interval))


def runs(timetable, ask):
    from airflow.timetables.base import DagRunInfo, TimeRestriction

    limits = ask["restriction"]
    restriction = TimeRestriction(read_instant(limits["earliest"]), read_instant(limits["latest"]), limits["catchup"])
    last = ask["last"] and DagRunInfo(read_instant(ask["last"]["run_after"]), read_interval(ask["last"]["interval"]))
    until = read_instant(ask["until"])
    found = []
    enough = time.monotonic() + LOOK_AHEAD
    while len(found) < ask["count"]:
        # Only the next run is needed; those of a backfill all are.
        ahead = until is None and len(found) > 0
        if ahead and time.monotonic() > enough:
            break
        try:
            info = timetable.next_dagrun_info_v2(last_dagrun_info=last, restriction=restriction)
        except Exception:
            if ahead:
                break
            raise
        if info is None:
            break
        if info.data_interval is None:
            raise ValueError("next_dagrun_info gave a run without a data interval, which only partitioned schedules have.")
        if until is not None and info.data_interval.end >= until:
            break
        if last is not None and (info.run_after, info.data_interval) == (last.run_after, last.data_interval):
            if not found:
                raise ValueError(f"next_dagrun_info gave the run after {last.run_after} again.")
            break
        found.append(
            {
                "run_after": show_instant(info.run_after),
                "interval": show_interval(info.data_interval),
                "run_id": run_id(timetable, ask["run_type"], info.run_after, info.data_interval),
            }
        )
        last = info
    return {"kind": "runs", "runs": found}


def manual(timetable, ask):
    interval = read_interval(ask["interval"])
    if ask["infer_at"] is not None:
        interval = timetable.infer_manual_data_interval(run_after=read_instant(ask["infer_at"]))
    return {
        "kind": "manual",
        "interval": show_interval(interval),
        "run_id": run_id(timetable, ask["run_type"], read_instant(ask["run_after"]), interval),
    }


def on_time(_number, _frame):
    raise TimeoutError("The timetable took longer than [core] dagbag_import_timeout.")


def answer(order):
    """To the one order of this process. What a timetable raises is an answer as well."""
    os.environ["_AIRFLOW_PROCESS_CONTEXT"] = "client"
    sys.path.append(order["bundle_root"])
    ask = order["ask"]
    signal.signal(signal.SIGALRM, on_time)
    signal.setitimer(signal.ITIMER_REAL, float(os.environ["AIRFLOW__CORE__DAGBAG_IMPORT_TIMEOUT"]))
    try:
        timetable = decode(order["timetable"])
        return runs(timetable, ask) if ask["kind"] == "runs" else manual(timetable, ask)
    except BaseException as error:
        text = "".join(traceback.format_exception(type(error), error, error.__traceback__)).strip()
        return {"kind": "problem", "text": text[-MAX_PROBLEM:]}
    finally:
        signal.setitimer(signal.ITIMER_REAL, 0)
