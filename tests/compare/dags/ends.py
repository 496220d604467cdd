"""How tries end: exceptions, exit codes, retries and their policies, callbacks, sensors, deferrals."""

from __future__ import annotations

import functools
from datetime import datetime, timedelta, timezone

from airflow.providers.standard.operators.bash import BashOperator
from airflow.providers.standard.operators.python import PythonOperator
from airflow.providers.standard.sensors.python import PythonSensor
from airflow.providers.standard.triggers.temporal import TimeDeltaTrigger
from airflow.sdk import BaseOperator, ExceptionRetryPolicy, RetryAction, RetryRule, dag, task
from airflow.sdk.exceptions import AirflowFailException, AirflowSkipException

SOON = timedelta(seconds=1)


@dag(schedule=None, tags=["compared"], default_args={"retries": 2, "retry_delay": SOON})
def compared_exceptions():
    @task
    def fails():
        raise AirflowFailException("as told")

    @task
    def skips_later(ti=None):
        raise ValueError("again") if ti.try_number == 1 else AirflowSkipException("as told")

    @task(retry_exponential_backoff=2, max_retry_delay=timedelta(seconds=2))
    def third_time(ti=None):
        if ti.try_number < 3:
            raise ValueError("again")
        return [ti.try_number, ti.max_tries]

    @task(retries=0)
    def exits_well():
        raise SystemExit(0)

    @task(retries=1)
    def interrupts():
        raise KeyboardInterrupt

    @task(retries=1)
    def killed():
        import os

        os.kill(os.getpid(), 9)

    @task(retries=0, execution_timeout=SOON)
    def slow():
        import time

        time.sleep(60)

    for each in (fails, skips_later, third_time, exits_well, interrupts, killed, slow):
        each()


@dag(schedule=None, tags=["compared"], default_args={"retries": 2, "retry_delay": SOON})
def compared_retry_policies():
    policy = ExceptionRetryPolicy(
        rules=[
            RetryRule(exception=ValueError, action=RetryAction.FAIL),
            RetryRule(exception=KeyError, action=RetryAction.RETRY, retry_delay=SOON),
        ]
    )
    for kind in (ValueError, KeyError, TypeError):

        @task(task_id=kind.__name__, retry_policy=policy)
        def fails(kind=kind):
            raise kind("as told")

        fails()


@dag(schedule=None, tags=["compared"])
def compared_shells():
    for name, command, options in (
        ("skips", "exit 99", {}),
        ("skips_by_list", "exit 7", {"skip_on_exit_code": [6, 7]}),
        ("fails_without", "exit 99", {"skip_on_exit_code": None}),
        ("own_env", "echo ${HOME:-none} $B", {"env": {"B": "{{ ds }}"}}),
        ("in_folder", "pwd", {"cwd": "/usr"}),
        ("no_folder", "pwd", {"cwd": "/nonexistent"}),
        ("last_line", "printf 'a\\nb\\n\\n'", {}),
        ("killed", "kill -9 $$", {}),
        ("left_behind", "sleep 1 & echo here", {}),
        ("own_names", "echo $AIRFLOW_CTX_TASK_ID $AIRFLOW_CTX_TRY_NUMBER", {}),
        ("no_text", "printf 'ünï ☃ \\xff'", {}),
        ("not_told", "echo no", {"do_xcom_push": False}),
    ):
        BashOperator(task_id=name, bash_command=command, **options)


def note(context, name):
    context["ti"].xcom_push(name, context["ti"].try_number)


def fails(*_):
    raise RuntimeError("as told")


def skips():
    raise AirflowSkipException("as told")


@dag(schedule=None, tags=["compared"])
def compared_callbacks():
    names = ("execute", "success", "failure", "retry", "skipped")
    every = {f"on_{name}_callback": functools.partial(note, name=name) for name in names}
    PythonOperator(task_id="succeeds", python_callable=int, **every)
    PythonOperator(task_id="fails", python_callable=fails, retries=1, retry_delay=SOON, **every)
    PythonOperator(task_id="skips", python_callable=skips, **every)
    second = functools.partial(note, name="second")
    PythonOperator(task_id="broken_callback", python_callable=int, on_success_callback=[fails, second])


@dag(schedule=None, tags=["compared"])
def compared_sensors():
    def never():
        return False

    for name, check, options in (
        ("late", never, {"timeout": 2, "retries": 2, "retry_delay": SOON}),
        ("late_softly", never, {"timeout": 2, "soft_fail": True}),
        ("fails", fails, {"timeout": 9, "retries": 1, "retry_delay": SOON}),
        ("fails_softly", fails, {"timeout": 9, "soft_fail": True}),
        ("never_fails", fails, {"timeout": 2, "never_fail": True}),
        ("skips", skips, {"timeout": 9}),
    ):
        PythonSensor(task_id=name, python_callable=check, poke_interval=1, **options)


class Waits(BaseOperator):
    """Defers, goes on by a method with what it gave itself, and perhaps waits again."""

    template_fields = ("seconds",)

    def __init__(self, seconds=1, method="go_on", given=None, timeout=None, **options):
        super().__init__(**options)
        self.seconds, self.method, self.given, self.wait = seconds, method, given, timeout

    def execute(self, context):
        after = TimeDeltaTrigger(timedelta(seconds=int(self.seconds)))
        self.defer(trigger=after, method_name=self.method, kwargs=self.given, timeout=self.wait)

    def go_on(self, context, event=None, again=0, **given):
        if again > 0:
            self.defer(trigger=TimeDeltaTrigger(SOON), method_name="go_on", kwargs={"again": again - 1})
        return [isinstance(event, datetime), {name: str(value) for name, value in given.items()}]

    def fails(self, context, event=None):
        raise ValueError("as told")

    def skips(self, context, event=None):
        raise AirflowSkipException("as told")


@dag(schedule=None, tags=["compared"])
def compared_deferrals():
    Waits(task_id="plain")
    Waits(task_id="given", given={"a": {"b": [1, (2, 3)]}, "c": timedelta(seconds=3), "d": datetime(2026, 1, 1, tzinfo=timezone.utc)})
    Waits(task_id="again", given={"again": 2})
    Waits(task_id="late", seconds=60, timeout=SOON, retries=1, retry_delay=SOON)
    Waits(task_id="no_method", method="absent")
    Waits(task_id="fails", method="fails", retries=1, retry_delay=SOON)
    Waits(task_id="skips", method="skips")
    Waits(task_id="rendered", seconds="{{ 1 + 1 }}")
    Waits.partial(task_id="mapped", given={"z": 1}).expand(seconds=[1, 2])


compared_exceptions()
compared_retry_policies()
compared_shells()
compared_callbacks()
compared_sensors()
compared_deferrals()
