"""Every trigger rule over every combination of upstream states, as the scheduler of Airflow 3.3.2 decides it.

Run again: V/bin/python control/test/airflow/trigger_rules.py | gzip -n9 > control/test/data/trigger-rules-table.jsonl.gz
(V: a virtual environment with apache-airflow==3.3.2; it works on a throw-away SQLite database.)
Each line: g graph, s states of the tasks or task[index] that were given, o decision per task that had none:
"run", or the state that was written; tasks that wait are left out. Before the lines of a graph comes its document, d.
"""

from __future__ import annotations

import itertools
import json
import os
import subprocess
import sys
import tempfile

HOME = tempfile.mkdtemp()
os.environ["AIRFLOW_HOME"] = HOME
os.environ["AIRFLOW__CORE__DAGS_FOLDER"] = f"{HOME}/dags"
os.environ["AIRFLOW__CORE__LOAD_EXAMPLES"] = "False"
os.environ["AIRFLOW__LOGGING__LOGGING_LEVEL"] = "ERROR"
os.makedirs(f"{HOME}/dags")

RULES = """all_success all_failed all_done all_done_min_one_success one_success one_failed one_done none_failed
none_failed_min_one_success none_skipped all_skipped always""".split()

with open(f"{HOME}/dags/tables.py", "w") as file:
    file.write(
        f"""
from airflow.sdk import DAG, BaseOperator, task_group

RULES = {RULES!r}


class Work(BaseOperator):
    def __init__(self, *, item=None, **kwargs):
        super().__init__(**kwargs)
        self.item = item

    def execute(self, context):
        return 1


def plain(count):
    with DAG(f"plain_{{count}}", schedule=None) as dag:
        above = [Work(task_id=f"u{{i}}") for i in range(count)]
        for rule in RULES:
            above >> Work(task_id=rule, trigger_rule=rule)
    return dag


one, two, three = plain(1), plain(2), plain(3)

with DAG("mapped", schedule=None) as mapped:
    u0 = Work(task_id="u0")
    m = Work.partial(task_id="m").expand(item=["a", "b"])
    for rule in RULES:
        [u0, m] >> Work(task_id=rule, trigger_rule=rule)

with DAG("setups", schedule=None) as setups:
    s0, s1 = Work(task_id="s0").as_setup(), Work(task_id="s1").as_setup()
    u0 = Work(task_id="u0")
    end = Work(task_id="end").as_teardown(setups=[s0, s1])
    [s0, s1] >> u0  # what follows a setup directly must be all_success
    for rule in RULES:
        u0 >> Work(task_id=rule, trigger_rule=rule) >> end

with DAG("teardown", schedule=None) as teardown:
    s0, s1 = Work(task_id="s0").as_setup(), Work(task_id="s1").as_setup()
    w = Work(task_id="w")
    [s0, s1] >> w >> Work(task_id="end").as_teardown(setups=[s0, s1])

with DAG("group", schedule=None) as group:

    @task_group
    def g(item):
        u = Work(task_id="u", item=item)
        for rule in RULES[:-1]:  # always is refused in a mapped group
            u >> Work(task_id=rule, trigger_rule=rule)

    g.expand(item=["a", "b"])
"""
    )

subprocess.run([sys.executable, "-m", "airflow", "db", "migrate"], check=True, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
subprocess.run([sys.executable, "-m", "airflow", "dags", "reserialize"], check=True, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)

from airflow._shared.timezones import timezone  # noqa: E402
from airflow.models.dagbag import DBDagBag  # noqa: E402
from airflow.models.errors import ParseImportError  # noqa: E402
from airflow.models.serialized_dag import SerializedDagModel  # noqa: E402
from airflow.models.taskinstance import TaskInstance  # noqa: E402
from airflow.utils.session import create_session  # noqa: E402
from airflow.utils.state import DagRunState  # noqa: E402
from airflow.utils.types import DagRunTriggeredByType, DagRunType  # noqa: E402
from sqlalchemy import update  # noqa: E402

STATES = ["success", "failed", "upstream_failed", "skipped", "removed", "running"]


def name(ti):
    return ti.task_id if ti.map_index < 0 else f"{ti.task_id}[{ti.map_index}]"


def decide(session, run, given):
    """Sets the given states, clears all others, and lets the scheduler look once."""
    rows = {name(ti): ti for ti in run.get_task_instances(session=session)}
    for key, ti in rows.items():
        session.execute(update(TaskInstance).where(TaskInstance.id == ti.id).values(state=given.get(key), try_number=1 if key in given else 0))
    session.flush()
    session.expire_all()
    decision = run.task_instance_scheduling_decisions(session=session)
    ready = {name(ti) for ti in decision.schedulable_tis}
    session.flush()
    outcome = {}
    for ti in run.get_task_instances(session=session):
        key = name(ti)
        if key in given:
            continue
        if key in ready:
            outcome[key] = "run"
        elif ti.state is not None:
            outcome[key] = str(ti.state)
    return outcome


def graphs():
    for count, dag_id in ((1, "plain_1"), (2, "plain_2"), (3, "plain_3")):
        yield dag_id, [f"u{i}" for i in range(count)]
    yield "mapped", ["u0", "m[0]", "m[1]"]
    yield "setups", ["s0", "s1", "u0"]
    yield "teardown", ["s0", "s1", "w"]
    yield "group", ["g.u[0]", "g.u[1]"]


with create_session() as session:
    bag = DBDagBag()
    for dag_id, keys in graphs():
        dag = bag.get_latest_version_of_dag(dag_id, session=session)
        if dag is None:
            sys.exit(f"{dag_id} was not parsed: {[error.stacktrace for error in session.query(ParseImportError)]}")
        document = json.dumps(SerializedDagModel.get(dag_id, session=session).data, sort_keys=True, separators=(",", ":"))
        print(f'{{"g":"{dag_id}","d":{document.replace(HOME, "")}}}')
        now = timezone.utcnow()
        run = dag.create_dagrun(
            run_id="table",
            logical_date=now,
            data_interval=(now, now),
            run_after=now,
            run_type=DagRunType.MANUAL,
            triggered_by=DagRunTriggeredByType.TEST,
            state=DagRunState.RUNNING,
            session=session,
        )
        run.dag = dag
        session.flush()
        for states in itertools.product(STATES, repeat=len(keys)):
            given = dict(zip(keys, states))
            outcome = decide(session, run, given)
            print(json.dumps({"g": dag_id, "s": given, "o": outcome}, separators=(",", ":")))
    session.rollback()
