"""Dags that start, watch and follow others; runs that wait for their past; XComs by every way to write and read them."""

from __future__ import annotations

from datetime import datetime, timedelta, timezone

from airflow.providers.standard.operators.bash import BashOperator
from airflow.providers.standard.operators.empty import EmptyOperator
from airflow.providers.standard.operators.trigger_dagrun import TriggerDagRunOperator
from airflow.providers.standard.sensors.external_task import ExternalTaskSensor
from airflow.sdk import dag, task, task_group
from airflow.sdk.exceptions import AirflowSkipException

DAY = datetime(2026, 1, 2, 3, 4, 5, tzinfo=timezone.utc)
SOON = timedelta(seconds=1)


@dag(schedule=None, is_paused_upon_creation=False)
def child():
    @task
    def work(dag_run=None):
        if dag_run.conf.get("fail"):
            raise ValueError("as told")
        return dag_run.conf

    work() >> EmptyOperator(task_id="after")


@dag(schedule=None, tags=["compared"])
def compared_triggers_runs():
    def start(task_id, run=None, fail=False, **options):
        return TriggerDagRunOperator(
            task_id=task_id,
            trigger_dag_id=options.pop("dag_id", "child"),
            trigger_run_id=run or task_id,
            conf={"fail": fail, "day": "{{ ds }}"},
            poke_interval=1,
            **options,
        )

    waits = {"wait_for_completion": True}
    first = start("first", **waits)
    start("fails", fail=True, **waits)
    start("deferred", deferrable=True, **waits)
    start("deferred_fails", fail=True, deferrable=True, **waits)
    first >> start("taken", run="first")
    first >> start("taken_is_fine", run="first", skip_when_already_exists=True)
    start("once", **waits) >> start("reset", run="once", reset_dag_run=True, **waits)
    start("absent", dag_id="no_such_dag")
    start("dated", logical_date="{{ logical_date }}")
    TriggerDagRunOperator.partial(task_id="mapped", trigger_dag_id="child").expand(trigger_run_id=["m1", "m2"])


@dag(schedule=None, is_paused_upon_creation=False)
def watched():
    @task
    def good():
        pass

    @task
    def bad():
        raise ValueError("as told")

    @task_group
    def group():
        good.override(task_id="p")()
        good.override(task_id="q")()

    group()
    good()
    bad()


@dag(schedule=None, tags=["compared"])
def compared_external_tasks():
    run = TriggerDagRunOperator(
        task_id="run",
        trigger_dag_id="watched",
        trigger_run_id="watched",
        logical_date="{{ logical_date }}",
        wait_for_completion=True,
        poke_interval=1,
        allowed_states=["failed"],
        failed_states=[],
    )
    good, bad, failed = {"external_task_id": "good"}, {"external_task_id": "bad"}, {"failed_states": ["failed"]}
    for name, options in (
        ("dag", {"allowed_states": ["failed"]}),
        ("dag_failed", failed),
        ("dag_skips", {"skipped_states": ["failed"]}),
        ("task", good),
        ("task_failed", bad | failed),
        ("task_failed_softly", bad | failed | {"soft_fail": True}),
        ("tasks", {"external_task_ids": ["good", "group.p"]}),
        ("group", {"external_task_group_id": "group"}),
        ("other_day", good | {"execution_delta": timedelta(days=1), "soft_fail": True, "timeout": 5}),
        ("by_function", good | {"execution_date_fn": lambda day: day}),
        ("no_task", {"external_task_id": "absent", "check_existence": True}),
        ("deferred", good | {"deferrable": True}),
        ("deferred_failed", bad | failed | {"deferrable": True}),
        ("deferred_group", {"external_task_group_id": "group", "deferrable": True}),
    ):
        bounded = {"timeout": 60} | options
        run >> ExternalTaskSensor(task_id=name, external_dag_id="watched", poke_interval=1, **bounded)


@dag(schedule=None, is_paused_upon_creation=False)
def with_a_past():
    @task(depends_on_past=True)
    def own(dag_run=None):
        if dag_run.conf.get("fail"):
            raise ValueError("as told")

    @task(wait_for_downstream=True)
    def upstream():
        pass

    @task(depends_on_past=True)
    def skips(dag_run=None):
        if dag_run.conf.get("skip"):
            raise AirflowSkipException("as told")

    own() >> EmptyOperator(task_id="own_end", trigger_rule="all_done")
    upstream() >> EmptyOperator(task_id="downstream")
    skips()


@dag(schedule=None, tags=["compared"])
def compared_waits_for_past():
    """Four runs, one after the other; the fourth waits for ever for a task that has failed in the third."""
    before = None
    for index, conf in enumerate([{}, {"skip": 1}, {"fail": 1}, {}]):
        run = TriggerDagRunOperator(
            task_id=f"run_{index}",
            trigger_dag_id="with_a_past",
            trigger_run_id=f"run_{index}",
            logical_date=DAY + timedelta(days=index),
            conf=conf,
            wait_for_completion=index < 3,
            poke_interval=1,
            allowed_states=["success", "failed"],
            failed_states=[],
        )
        if before is not None:
            before >> run
        before = run

    @task
    def states(ti=None):
        return [ti.get_task_states(dag_id="with_a_past", run_ids=[f"run_{index}"]) for index in range(4)]

    before >> BashOperator(task_id="wait", bash_command="sleep 10") >> states()


@dag(schedule=None, tags=["compared"])
def compared_xcoms():
    @task
    def push(ti=None):
        for key, value in (("k", {"a": [1]}), ("none", None), ("empty", ""), ("sl/ash", 1), ("sp ace", 2)):
            ti.xcom_push(key, value)

    @task
    def pull(ti=None):
        own = {"dag_id": "compared_xcoms", "run_id": ti.run_id}
        return [
            *(ti.xcom_pull("push", key=key, default="default") for key in ("k", "none", "empty", "sl/ash", "sp ace", "absent")),
            ti.xcom_pull("push"),
            ti.xcom_pull(task_ids=["push", "pull"], key="k"),
            ti.xcom_pull("push", key="k", **own),
            ti.xcom_pull("push", key="k", include_prior_dates=True),
            ti.xcom_pull("push", dag_id="no_such_dag"),
        ]

    @task(retries=1, retry_delay=SOON)
    def next_try(ti=None):
        before = ti.xcom_pull("next_try", key="left")
        if ti.try_number == 1:
            ti.xcom_push("left", 1)
            raise ValueError("again")
        return before

    @task
    def both(ti=None):
        ti.xcom_push("return_value", "pushed")
        return "returned"

    @task(multiple_outputs=True)
    def several():
        return {"a": 1, "b": [2], "c": None}

    @task(multiple_outputs=True)
    def no_mapping():
        return [1]

    @task
    def take(x):
        return [x]

    push() >> pull()
    next_try()
    both()
    take(several()["b"])
    no_mapping()
    take.override(task_id="take_none")(several.override(task_id="other")()["c"])


child()
watched()
with_a_past()
compared_triggers_runs()
compared_external_tasks()
compared_waits_for_past()
compared_xcoms()
