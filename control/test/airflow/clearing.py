"""What Airflow 3.3.2 does when somebody clears or marks: requests to its REST API, its answers, and what its rows are afterwards.

Run again: V/bin/python control/test/airflow/clearing.py [SEED] | gzip -n9 > control/test/data/clearing.jsonl.gz
(V: a virtual environment with apache-airflow==3.3.2; it works on a throw-away SQLite database.)
A line with d begins a Dag: its documents, oldest first; runs (name, logical date, version that it is pinned to); and profiles,
each with the state of every run (r), rows of task instances (t: run, task, index, state, try, budget) and their history (h).
Every other line is a request: p profile, q method, path, body; s status; e why it was refused, or a what the answer lists;
and, unless it was a dry run, c the rows and runs that are different afterwards.
"""

from __future__ import annotations

import itertools
import json
import logging
import os
import random
import subprocess
import sys
import tempfile

HOME = tempfile.mkdtemp()
os.environ["AIRFLOW_HOME"] = HOME
os.environ["AIRFLOW__CORE__DAGS_FOLDER"] = f"{HOME}/dags"
os.environ["AIRFLOW__CORE__LOAD_EXAMPLES"] = "False"
os.environ["AIRFLOW__CORE__SIMPLE_AUTH_MANAGER_ALL_ADMINS"] = "True"
os.environ["AIRFLOW__CORE__MIN_SERIALIZED_DAG_UPDATE_INTERVAL"] = "0"
os.environ["AIRFLOW__LOGGING__LOGGING_LEVEL"] = "CRITICAL"
os.makedirs(f"{HOME}/dags")
rng = random.Random(int(sys.argv[1]) if len(sys.argv) > 1 else 20261127)

DAGS = '''
from datetime import datetime
from airflow.sdk import DAG, BaseOperator, TaskGroup, task_group


class Work(BaseOperator):
    def __init__(self, *, item=None, **kwargs):
        super().__init__(**kwargs)
        self.item = item

    def execute(self, context):
        return 1


def work(task_id, **kwargs):
    return Work(task_id=task_id, **kwargs)


def dag(dag_id, **kwargs):
    return DAG(dag_id, **({"schedule": None} | kwargs), start_date=datetime(2026, 1, 1), catchup=True)


with dag("chain"):
    work("a") >> work("b", retries=2) >> work("c") >> work("d", retries=1)

with dag("diamond"):
    work("a") >> [work("b", retries=1), work("c")] >> work("d") >> work("e", trigger_rule="all_done")

with dag("setups"):
    s1, s2, u = work("s1").as_setup(), work("s2").as_setup(), work("u")
    w1, w2, w3 = work("w1", retries=1), work("w2"), work("w3")
    u >> s1 >> w1 >> w2
    w2 >> work("t1").as_teardown(setups=s1)
    w2 >> w3 >> work("t2").as_teardown(setups=s2)
    s2 >> w1
    w3 >> work("after")

with dag("lone_setup"):
    work("s").as_setup() >> work("w1") >> work("w2")
    w0 = work("w0")
    w0 >> work("w3") >> work("t").as_teardown()

with dag("groups"):
    first = work("first")
    with TaskGroup("outer") as outer:
        x = work("x")
        with TaskGroup("inner") as inner:
            work("y", retries=1) >> work("z")
        x >> inner
    first >> outer >> work("last")

with dag("mapped"):
    up = work("up")
    m = Work.partial(task_id="m", retries=1).expand(item=["a", "b", "c"])
    n = Work.partial(task_id="n").expand(item=up.output)
    up >> m >> n >> work("down")

with dag("mapped_group"):
    up, down = work("up"), work("down")

    @task_group
    def g(item):
        first, last = work("first", item=item, retries=1), work("last")
        with TaskGroup("within"):
            first >> work("mid") >> last

    up >> g.expand(item=["a", "b", "c"]) >> down >> work("end")

with dag("mapped_setups"):
    up, down = work("up"), work("down")
    outer = work("s").as_setup()

    @task_group
    def g(item):
        s, w = work("s", item=item).as_setup(), work("w", retries=1)
        s >> w >> work("v") >> work("t").as_teardown(setups=s)

    mapped = g.expand(item=["a", "b"])
    up >> mapped >> down >> work("t").as_teardown(setups=outer)
    outer >> down

with dag("daily", schedule="0 0 * * *"):
    work("a") >> work("b", retries=1) >> work("c")

with dag("continuous", schedule="@continuous", max_active_runs=1):
    work("a") >> work("b")
'''
VERSIONS = [
    DAGS
    + '''
with dag("versions"):
    work("a") >> work("b") >> work("c")
''',
    DAGS
    + '''
with dag("versions"):
    s = work("s").as_setup()
    work("a") >> work("b", retries=2) >> [work("d"), s]
    s >> work("n") >> work("t").as_teardown(setups=s)
''',
]


def quietly(*command):
    subprocess.run([sys.executable, "-m", "airflow", *command], check=True, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)


def publish(text):
    with open(f"{HOME}/dags/shapes.py", "w") as file:
        file.write(text)
    quietly("dags", "reserialize")


quietly("db", "migrate")
publish(VERSIONS[0])

from datetime import datetime, timezone  # noqa: E402

from airflow.api_fastapi.app import create_app  # noqa: E402
from airflow.models.dag_version import DagVersion  # noqa: E402
from airflow.models.dagbag import DBDagBag  # noqa: E402
from airflow.models.dagrun import DagRun  # noqa: E402
from airflow.models.serialized_dag import SerializedDagModel  # noqa: E402
from airflow.models.taskinstance import TaskInstance as TI, TaskInstanceNote  # noqa: E402
from airflow.models.taskinstancehistory import TaskInstanceHistory as TIH  # noqa: E402
from airflow.models.taskmap import TaskMap  # noqa: E402
from airflow.utils.session import create_session  # noqa: E402
from airflow.utils.state import DagRunState  # noqa: E402
from airflow.utils.types import DagRunTriggeredByType, DagRunType  # noqa: E402
from fastapi.testclient import TestClient  # noqa: E402
from sqlalchemy import delete, insert, select, update  # noqa: E402
from uuid6 import uuid7  # noqa: E402

logging.disable(logging.CRITICAL)
client = TestClient(create_app(), raise_server_exceptions=False)

DAG_IDS = ["chain", "diamond", "setups", "lone_setup", "groups", "mapped", "mapped_group", "mapped_setups", "daily", "continuous", "versions"]
NEVER_BEGUN = {None, "scheduled", "upstream_failed", "removed"}
OLD = datetime(2026, 2, 1, tzinfo=timezone.utc)
PINNED = "versions.r2"


def runs_of(dag_id):
    """In the order of their ids; the last lies where no schedule puts one. After a mark Airflow takes runs of two Dags with one name for one."""
    dates = {"r1": "2026-01-01T00:00:00Z", "r2": "2026-01-02T00:00:00Z", "r3": "2026-01-03T00:00:00Z", "x": None, "odd": "2026-01-02T12:00:00Z"}
    return [(f"{dag_id}.{name}", date) for name, date in dates.items()]


def parse(text):
    return None if text is None else datetime.fromisoformat(text.replace("Z", "+00:00"))


def make_runs(session, dag_id):
    dag = DBDagBag().get_latest_version_of_dag(dag_id, session=session)
    if dag is None:
        sys.exit(f"{dag_id} was not parsed")
    for run_id, date in runs_of(dag_id):
        at = parse(date) or datetime(2026, 1, 9, tzinfo=timezone.utc)
        run = dag.create_dagrun(
            run_id=run_id,
            logical_date=parse(date),
            data_interval=(at, at) if date else None,
            run_after=at,
            run_type=DagRunType.MANUAL,
            triggered_by=DagRunTriggeredByType.TEST,
            state=DagRunState.RUNNING,
            session=session,
        )
        if dag_id == "mapped":
            session.add(TaskMap("mapped", "up", run_id, -1, 3, None))
            session.flush()
            TaskMap.expand_mapped_task(dag.get_task("n"), run_id, session=session)
        if run_id == PINNED:
            run.bundle_version = "one"


def make_profile(runs, rows, retries):
    """States with tries and budgets that are possible for them."""
    states = {run_id: rng.choice(["success", "failed", "failed", "running", "queued"]) for run_id in runs}
    weights = {"success": 8, "failed": 6, "upstream_failed": 3, "skipped": 3, "running": 2, "queued": 1, "scheduled": 1, None: 3}
    weights |= {"up_for_retry": 1, "up_for_reschedule": 1, "deferred": 1, "removed": 1, "restarting": 1}
    tis, history = [], []
    for run_id, task_id, index in rows:
        state = rng.choices(list(weights), list(weights.values()))[0]
        try_number = rng.choice([0, 0, 2]) if state in NEVER_BEGUN else rng.choice([1, 1, 2, 3])
        budget = max(retries.get(task_id, 0), try_number - 1) + (state == "up_for_retry")
        tis.append([run_id, task_id, index, state, try_number, budget])
        ended = try_number if state == "up_for_retry" else try_number - 1
        history += [[run_id, task_id, index, each, "failed"] for each in range(1, ended + 1)]
    return {"r": states, "t": tis, "h": history, "n": rows[::3]}


def restore(session, dag_id, profile):
    # What only_new and newest versions have added goes again.
    known = {(run_id, task_id, index) for run_id, task_id, index, *_ in profile["t"]}
    now = {}
    for ti in session.execute(select(TI.id, TI.run_id, TI.task_id, TI.map_index).where(TI.dag_id == dag_id)):
        if (ti.run_id, ti.task_id, ti.map_index) in known:
            now[(ti.run_id, ti.task_id, ti.map_index)] = ti.id
        else:
            session.execute(delete(TI).where(TI.id == ti.id))
    session.execute(delete(TIH).where(TIH.dag_id == dag_id))
    session.execute(delete(TaskInstanceNote))
    first = session.scalar(select(DagVersion.id).where(DagVersion.dag_id == dag_id, DagVersion.version_number == 1))
    for run_id, state in profile["r"].items():
        values = {"state": state, "clear_number": 0, "queued_at": OLD, "start_date": None if state == "queued" else OLD}
        values |= {"end_date": OLD if state in ("success", "failed") else None, "created_dag_version_id": first}
        values["bundle_version"] = "one" if run_id == PINNED else None
        table = DagRun.__table__
        session.execute(update(table).where(table.c.dag_id == dag_id, table.c.run_id == run_id).values(values))
    for run_id, task_id, index, state, try_number, max_tries in profile["t"]:
        session.execute(
            update(TI)
            .where(TI.id == now[(run_id, task_id, index)])
            .values(state=state, try_number=try_number, max_tries=max_tries, start_date=None, end_date=None, dag_version_id=first)
        )
    for run_id, task_id, index, try_number, state in profile["h"]:
        ti = session.scalar(select(TI).where(TI.dag_id == dag_id, TI.run_id == run_id, TI.task_id == task_id, TI.map_index == index))
        row = TIH(ti, state=state)
        row.task_instance_id, row.try_number = uuid7(), try_number
        session.add(row)
    for key in profile["n"]:
        session.execute(insert(TaskInstanceNote).values(ti_id=now[tuple(key)], content="kept", user_id="somebody"))
    session.commit()


def look(session, dag_id):
    session.expire_all()
    tis = {}
    for ti in session.scalars(select(TI).where(TI.dag_id == dag_id)):
        tis[f"{ti.run_id} {ti.task_id} {ti.map_index}"] = [str(ti.id), None if ti.state is None else str(ti.state), ti.try_number, ti.max_tries, ti.note]
    history = {}
    for row in session.execute(select(TIH.run_id, TIH.task_id, TIH.map_index, TIH.try_number, TIH.state).where(TIH.dag_id == dag_id).order_by(TIH.try_number)):
        history.setdefault(f"{row.run_id} {row.task_id} {row.map_index}", []).append([row.try_number, str(row.state)])
    versions = {v.id: v.version_number for v in session.scalars(select(DagVersion).where(DagVersion.dag_id == dag_id))}
    runs = {}
    for run in session.scalars(select(DagRun).where(DagRun.dag_id == dag_id)):
        pinned = versions[run.created_dag_version_id] if run.bundle_version else None
        runs[run.run_id] = [str(run.state), run.clear_number, run.queued_at != OLD, run.start_date is not None, run.end_date is not None, pinned]
    return tis, history, runs


def listed(ti):
    if "dag_run_id" not in ti:
        return [ti["task_id"]]
    return [ti[field] for field in ("dag_run_id", "task_id", "map_index", "state", "try_number", "max_tries", "note")]


def ask(dag_id, number, method, path, body):
    answer = client.request(method, f"/api/v2/dags/{dag_id}{path}", json=body)
    line = {"p": number, "q": [method, path, body], "s": answer.status_code}
    if answer.status_code != 200:
        line["e"] = answer.json()["detail"] if answer.status_code < 500 else None
    elif "task_instances" in answer.json():
        line["a"] = sorted((listed(ti) for ti in answer.json()["task_instances"]), key=lambda row: row[:3])
    return line


def compared(before, after):
    """Rows that are different: [state, try, budget, note, new id?, history]; null = gone."""
    (tis, history, runs), (tis2, history2, runs2) = before, after
    changed = {}
    for key in sorted({*tis, *tis2}):
        if key not in tis2:
            changed[key] = None
        elif tis.get(key) != tis2[key] or history.get(key) != history2.get(key):
            changed[key] = [*tis2[key][1:], key not in tis or tis[key][0] != tis2[key][0], history2.get(key, [])]
    return {"tis": changed, "runs": {run: row for run, row in runs2.items() if row != runs[run]}}


def run_case(session, dag_id, profiles, number, method, path, body):
    dry = path.endswith("dry_run") or body.get("dry_run") is True
    if not dry or run_case.current != (dag_id, number):
        restore(session, dag_id, profiles[number])
    run_case.current = (dag_id, number) if dry else None
    before = None if dry else look(session, dag_id)
    session.commit()
    line = ask(dag_id, number, method, path, body)
    if not dry:
        line["c"] = compared(before, look(session, dag_id))
        session.commit()
    print(json.dumps(line, separators=(",", ":")))


run_case.current = None
FLAGS = [(False, False), (True, False), (False, True), (True, True)]


def some(list_, count):
    return rng.sample(list_, min(count, len(list_)))


def flip(odds=0.5):
    return rng.random() < odds


def cases(runs, task_ids, mapped, groups):
    """Requests: every selection as a dry run, then a random choice of real ones."""
    every = [[task] for task in task_ids] + [[[task, 1]] for task in mapped] + some([list(pair) for pair in itertools.combinations(task_ids, 2)], 5)
    every += [[[mapped[0], 0], [mapped[-1], 2]], [mapped[0], [mapped[-1], 1]]] if mapped else [[[task_ids[0], -1]]]
    clear = "/clearTaskInstances"
    for tasks, (up, down) in itertools.product(every, FLAGS):
        of = {"dag_run_id": rng.choice(runs[:4])} if flip(0.75) else {}
        yield "POST", clear, {"dry_run": True, "only_failed": False, "task_ids": tasks, "include_upstream": up, "include_downstream": down, **of}
    for _ in range(40):
        body = {"dry_run": flip(0.3), "reset_dag_runs": flip(0.8)}
        kind = rng.randrange(4)
        if kind != 0:
            body["only_failed"] = flip()
        elif flip(0.3):
            body |= {"only_failed": False, "only_running": True}
        if flip(0.75):
            body["dag_run_id"] = rng.choice(runs)
        elif flip(0.7):
            body |= rng.choice([{"start_date": "2026-01-02T00:00:00Z"}, {"end_date": "2026-01-02T00:00:00Z"}, {"start_date": "2026-01-02T00:00:00Z", "end_date": "2026-01-03T00:00:00Z"}])
        if flip(0.8):
            body["task_ids"] = rng.choice(every)
        for flag in ("include_upstream", "include_downstream", "include_past", "include_future"):
            if flip(0.25):
                body[flag] = True
        if flip(0.25):
            body["prevent_running_task"] = True
        if flip(0.15):
            body["note"] = rng.choice(["new", ""])
        yield "POST", clear, body
    tis = "/dagRuns/{}/taskInstances"
    for _ in range(40):
        task = rng.choice(task_ids)
        index = "" if task not in mapped or flip(0.3) else f"/{rng.choice([0, 1, 2])}"
        body = {"new_state": rng.choice(["success", "failed", "skipped"])}
        for flag in ("include_upstream", "include_downstream", "include_past", "include_future"):
            if flip(0.25):
                body[flag] = True
        if flip(0.15):
            body["note"] = rng.choice(["new", ""])
        yield "PATCH", f"{tis.format(rng.choice(runs))}/{task}{index}{'/dry_run' if flip(0.3) else ''}", body
    for group, state, (up, down) in itertools.product(groups, ["success", "failed", "skipped"], FLAGS):
        body = {"new_state": state, "include_upstream": up, "include_downstream": down, "include_past": flip(0.25), "include_future": flip(0.25)}
        yield "PATCH", f"/dagRuns/{rng.choice(runs)}/taskGroupInstances/{group}{'/dry_run' if flip(0.3) else ''}", body
    for state in ["success", "failed", "queued"] * 2:
        yield "PATCH", f"/dagRuns/{rng.choice(runs)}", {"state": state}
    for only_failed in [True, False, None] * 2:
        body = {"dry_run": flip(0.4), **({} if only_failed is None else {"only_failed": only_failed})}
        yield "POST", f"/dagRuns/{rng.choice(runs)}/clear", body
    for only_failed in [True, False]:
        named = [{"dag_run_id": run_id} for run_id in some(runs, 2)]
        yield "POST", "/clearDagRuns", {"dry_run": flip(0.4), "only_failed": only_failed, "dag_runs": named}


def version_cases(runs):
    for run_id, latest in itertools.product(runs[:2], [True, False, None]):
        body = {"dag_run_id": run_id, "dry_run": False, "only_failed": False, "run_on_latest_version": latest}
        yield "POST", "/clearTaskInstances", body
        yield "POST", "/clearTaskInstances", body | {"task_ids": ["c"]}
        yield "POST", "/clearTaskInstances", body | {"task_ids": ["b"], "include_downstream": True}
        yield "POST", "/clearTaskInstances", body | {"task_ids": ["b"], "include_downstream": True, "dry_run": True}
        yield "POST", f"/dagRuns/{run_id}/clear", {"dry_run": False, "only_failed": False, "run_on_latest_version": latest}
        yield "POST", f"/dagRuns/{run_id}/clear", {"dry_run": False, "only_failed": True, "run_on_latest_version": latest}
    for run_id, dry in itertools.product(runs[:4], [True, False, False, False]):
        yield "POST", f"/dagRuns/{run_id}/clear", {"dry_run": dry, "only_new": True}


with create_session() as session:
    for dag_id in DAG_IDS:
        make_runs(session, dag_id)
publish(VERSIONS[1])
with create_session() as session:
    for dag_id in DAG_IDS:
        dag = DBDagBag().get_latest_version_of_dag(dag_id, session=session)
        rows = sorted(tuple(row) for row in session.execute(select(TI.run_id, TI.task_id, TI.map_index).where(TI.dag_id == dag_id)))
        task_ids = sorted({task_id for _, task_id, _ in rows})
        mapped = sorted({task_id for _, task_id, index in rows if index >= 0})
        groups = sorted(group for group in dag.task_group_dict if group)
        retries = {task_id: dag.get_task(task_id).retries for task_id in task_ids if dag.has_task(task_id)}
        runs = [run_id for run_id, _ in runs_of(dag_id)]
        profiles = [make_profile(runs, rows, retries) for _ in range(6)]
        documents = [
            json.loads(json.dumps(version.serialized_dag.data).replace(HOME, ""))
            for version in session.scalars(select(DagVersion).where(DagVersion.dag_id == dag_id).order_by(DagVersion.version_number))
        ]
        print(json.dumps({"d": documents, "dag": dag_id, "runs": [[run_id, date, run_id == PINNED] for run_id, date in runs_of(dag_id)], "profiles": profiles}, separators=(",", ":")))
        requests = version_cases(runs) if dag_id == "versions" else cases(runs, task_ids, mapped, groups)
        # All are chosen before the first is sent, so that what is chosen does not depend on answers.
        for case in list(requests):
            run_case(session, dag_id, profiles, rng.randrange(len(profiles)), *case)
