"""Mapped tasks and groups: what they are mapped over, what of it fails or is skipped, and what is read of them."""

from __future__ import annotations

from datetime import timedelta

from airflow.providers.standard.operators.bash import BashOperator
from airflow.sdk import dag, task, task_group
from airflow.sdk.exceptions import AirflowFailException, AirflowSkipException


@task
def numbers() -> list[int]:
    return [1, 2, 3]


@task
def letters() -> list[str]:
    return ["a", "b"]


@task
def one(x):
    return x


@task
def two(x, y=None):
    return [x, y]


@task(trigger_rule="all_done")
def gather(values):
    return list(values)


@dag(schedule=None, tags=["compared"])
def compared_mapped_over_computed():
    """Zips, sums, functions over results, one of which skips an index and one of which fails."""
    n, l = numbers(), letters()

    def keyed(value):
        if value == 2:
            raise AirflowSkipException("not this one")
        return {"x": value, "y": value * 10}

    def fails(value):
        raise ValueError("as told")

    one.override(task_id="shortest").expand(x=n.zip(l))
    one.override(task_id="longest").expand(x=n.zip(l, fillvalue="-"))
    one.override(task_id="summed").expand(x=n.concat(l))
    one.override(task_id="twice").expand(x=n.map(lambda value: value + 1).map(lambda value: [value]))
    two.override(task_id="crossed").expand(x=n, y=l)
    gather(two.override(task_id="keyed").expand_kwargs(n.map(keyed)))
    gather.override(task_id="after_failure")(one.override(task_id="fails").expand(x=n.map(fails)))


@dag(schedule=None, tags=["compared"])
def compared_mapped_over_odd_things():
    """Keyword arguments, a mapping, and results that nothing can be mapped over."""

    def giving(name, value):
        @task(task_id=name)
        def give():
            return value

        return give()

    two.override(task_id="keyed").expand_kwargs(giving("keys", [{"x": 1}, {"x": 2, "y": 3}, {"y": 1}]))
    two.override(task_id="no_keys").expand_kwargs(giving("no_dicts", [1, 2]))
    one.override(task_id="over_mapping").expand(x=giving("mapping", {"a": 1, "b": 2}))
    one.override(task_id="over_literal").expand(x={"p": 1, "q": [2]})
    for name, value in (("number", 5), ("none", None), ("text", "abc")):
        one.override(task_id=f"over_{name}").expand(x=giving(name, value))
    BashOperator.partial(task_id="bash", append_env=True).expand_kwargs(
        [{"env": {"A": "1"}, "bash_command": "echo $A"}, {"bash_command": "exit 99"}, {"bash_command": "exit 5"}]
    )


@dag(schedule=None, tags=["compared"])
def compared_mapped_groups():
    """Groups with more in them, over lists and keywords, and all the ways to read what came of them."""

    @task_group
    def group(a, b):
        @task_group
        def deep(value):
            return one(value)

        return deep(two(a, b))

    out = group.partial(b=9).expand(a=numbers())
    group.override(group_id="keyed").expand_kwargs([{"a": 1, "b": 2}, {"a": 3, "b": 4}])
    gather(out)

    @task
    def pull(ti=None):
        return {
            "all": list(ti.xcom_pull(task_ids="group.two")),
            "one": ti.xcom_pull(task_ids="group.two", map_indexes=1),
            "some": list(ti.xcom_pull(task_ids="group.two", map_indexes=[2, 0])),
            "several": list(ti.xcom_pull(task_ids=["numbers", "group.two"])),
            "no key": ti.xcom_pull(task_ids="numbers", key="absent", default="default"),
            "no task": ti.xcom_pull(task_ids="absent"),
        }

    out >> pull()


@dag(schedule=None, tags=["compared"])
def compared_mapped_behind_ends():
    """Mapped over what was skipped or failed; limits; retries of one index; an index with a name."""

    @task
    def skipped():
        raise AirflowSkipException("as told")

    @task
    def failed():
        raise AirflowFailException("as told")

    @task(trigger_rule="all_done")
    def whatever(x):
        return x

    @task(max_active_tis_per_dagrun=1, retries=1, retry_delay=timedelta(seconds=1))
    def flaky(x, ti=None):
        if x == 3 or (x == 2 and ti.try_number == 1):
            raise ValueError("as told")
        return [x, ti.try_number, ti.map_index]

    one.override(task_id="over_skipped").expand(x=skipped())
    whatever.override(task_id="whatever_over_skipped").expand(x=skipped.override(task_id="skipped_too")())
    whatever.override(task_id="whatever_over_failed").expand(x=failed())
    gather(flaky.expand(x=[1, 2, 3]))
    two.override(task_id="over_mapped").partial(x=7).expand(y=one.override(task_id="first").expand(x=numbers()))


compared_mapped_over_computed()
compared_mapped_over_odd_things()
compared_mapped_groups()
compared_mapped_behind_ends()
