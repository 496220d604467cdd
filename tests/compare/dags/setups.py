"""Setups and teardowns: every end of a setup and of its work, groups, mapped groups, and what decides the run."""

from __future__ import annotations

from airflow.providers.standard.operators.empty import EmptyOperator
from airflow.sdk import dag, setup, task, task_group, teardown
from airflow.sdk.exceptions import AirflowFailException, AirflowSkipException


@task
def ok():
    return 1


@task
def bad():
    raise AirflowFailException("as told")


@task
def skip():
    raise AirflowSkipException("as told")


@dag(schedule=None, tags=["compared"])
def compared_setup_ends():
    for first in (ok, bad, skip):
        for work in (ok, bad, skip):
            name = f"{first.function.__name__}_{work.function.__name__}"
            start = first.override(task_id=f"setup_{name}")().as_setup()
            end = ok.override(task_id=f"teardown_{name}")().as_teardown(setups=start)
            start >> work.override(task_id=f"work_{name}")() >> end >> EmptyOperator(task_id=f"after_{name}")


@dag(schedule=None, tags=["compared"])
def compared_teardown_decides():
    start = ok.override(task_id="start")().as_setup()
    end = bad.override(task_id="end")().as_teardown(setups=start, on_failure_fail_dagrun=True)
    start >> ok.override(task_id="work")() >> end


@dag(schedule=None, tags=["compared"])
def compared_teardown_is_quiet():
    start = ok.override(task_id="start")().as_setup()
    end = bad.override(task_id="end")().as_teardown(setups=start)
    start >> ok.override(task_id="work")() >> end


@dag(schedule=None, tags=["compared"])
def compared_teardown_as_context():
    with ok.override(task_id="end")().as_teardown(setups=ok.override(task_id="start")()):
        bad.override(task_id="work")() >> EmptyOperator(task_id="more")


@dag(schedule=None, tags=["compared"])
def compared_teardown_alone():
    end = ok.override(task_id="end")().as_teardown()
    bad.override(task_id="work")() >> end >> EmptyOperator(task_id="after")


@dag(schedule=None, tags=["compared"])
def compared_setup_in_groups():
    @task_group
    def failing_work():
        start = ok.override(task_id="start")().as_setup()
        work = [bad.override(task_id="work")(), ok.override(task_id="other")()]
        start >> work >> ok.override(task_id="end")().as_teardown(setups=start)

    @task_group
    def failing_teardown():
        start = ok.override(task_id="start")().as_setup()
        start >> ok.override(task_id="work")() >> bad.override(task_id="end")().as_teardown(setups=start)

    failing_work() >> EmptyOperator(task_id="after_work")
    failing_teardown() >> EmptyOperator(task_id="after_teardown")


@dag(schedule=None, tags=["compared"])
def compared_setup_in_mapped_group():
    @setup
    def start(n):
        if n == 1:
            raise AirflowFailException("as told")
        return n

    @task
    def work(n):
        return n

    @teardown
    def end(n):
        return n

    @task_group
    def group(n):
        started = start(n)
        started >> work(n) >> end(started)

    group.expand(n=[0, 1, 2]) >> EmptyOperator(task_id="after")


@dag(schedule=None, tags=["compared"])
def compared_setup_and_short_circuit():
    @task.short_circuit
    def stop():
        return False

    start = ok.override(task_id="start")().as_setup()
    work = EmptyOperator(task_id="work")
    start >> stop() >> work >> ok.override(task_id="end")().as_teardown(setups=start)
    work >> ok.override(task_id="lone_end")().as_teardown()


compared_setup_ends()
compared_teardown_decides()
compared_teardown_is_quiet()
compared_teardown_as_context()
compared_teardown_alone()
compared_setup_in_groups()
compared_setup_in_mapped_group()
compared_setup_and_short_circuit()
