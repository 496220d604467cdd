"""A small set for every run of the comparison: results, branches, mapped tasks, skips, failures and retries."""

from __future__ import annotations

from datetime import timedelta

from airflow.providers.standard.operators.bash import BashOperator
from airflow.sdk import dag, task
from airflow.sdk.exceptions import AirflowSkipException


@dag(schedule=None, tags=["compared"])
def compared_results():
    @task
    def numbers() -> list[int]:
        return [1, 2, 3]

    @task
    def double(n: int) -> int:
        return n * 2

    @task
    def total(values) -> int:
        return sum(values)

    total(double.expand(n=numbers())) >> BashOperator(task_id="say", bash_command="echo {{ run_id }}")


@dag(schedule=None, tags=["compared"])
def compared_branches():
    @task.branch
    def choose() -> str:
        return "left"

    @task
    def left():
        return "l"

    @task
    def right():
        return "r"

    @task(trigger_rule="none_failed_min_one_success")
    def after():
        return "a"

    choose() >> [left(), right()] >> after()


@dag(schedule=None, tags=["compared"])
def compared_failures():
    @task(retries=1, retry_delay=timedelta(seconds=1))
    def again(ti=None) -> int:
        if ti.try_number == 1:
            raise RuntimeError("the first time")
        return ti.try_number

    @task
    def skips():
        raise AirflowSkipException("nothing to do")

    @task
    def never():
        raise ValueError("wrong")

    @task
    def behind():
        return 1

    @task(trigger_rule="all_done")
    def last():
        return "done"

    again() >> behind()
    [skips(), never()] >> behind() >> last()


compared_results()
compared_branches()
compared_failures()
