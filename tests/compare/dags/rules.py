"""Trigger rules, branches and short circuits, over mapped tasks and groups, too. Most tasks are empty and cost no process."""

from __future__ import annotations

from airflow.providers.standard.operators.empty import EmptyOperator
from airflow.sdk import TriggerRule, dag, task, task_group
from airflow.sdk.exceptions import AirflowFailException, AirflowSkipException

RULES = [rule.value for rule in TriggerRule]


@task
def ends(how):
    if how == "fail":
        raise AirflowFailException("as told")
    if how == "skip":
        raise AirflowSkipException("as told")
    return how


@dag(schedule=None, tags=["compared"])
def compared_rules_over_mapped():
    """Every rule behind a mapped task of no length, one that fails or skips in part, and one whose lengths never come."""

    @task
    def nothing() -> list:
        return []

    ups = {
        "zero": ends.override(task_id="zero").expand(how=nothing()),
        "part_failed": ends.override(task_id="part_failed").expand(how=["ok", "fail", "ok"]),
        "part_skipped": ends.override(task_id="part_skipped").expand(how=["ok", "skip", "ok"]),
        "unknown": ends.override(task_id="unknown").expand(how=ends.override(task_id="fails")("fail")),
    }
    for name, up in ups.items():
        for rule in RULES:
            up >> EmptyOperator(task_id=f"{name}_{rule}", trigger_rule=rule)
    for rule in RULES:
        [ups["zero"], ups["part_skipped"]] >> EmptyOperator(task_id=f"both_{rule}", trigger_rule=rule)


@dag(schedule=None, tags=["compared"])
def compared_rules_in_group():
    """A mapped group goes on index by index, under every rule that Airflow allows in one."""

    @task_group
    def group(how):
        end = ends(how)
        for rule in RULES:
            if rule != "always":
                end >> EmptyOperator(task_id=f"in_{rule}", trigger_rule=rule)

    group.expand(how=["fail", "skip", "ok"]) >> EmptyOperator(task_id="after", trigger_rule="all_done")


@dag(schedule=None, tags=["compared"])
def compared_group_of_none():
    @task
    def nothing() -> list:
        return []

    @task(trigger_rule="all_done")
    def late(n):
        return n

    @task(trigger_rule="none_failed")
    def gather(values):
        return list(values)

    @task_group
    def group(n):
        return late(ends(n))

    values = group.expand(n=nothing())
    gather(values)
    late.override(task_id="take")(values)
    values >> EmptyOperator(task_id="behind")


@dag(schedule=None, tags=["compared"])
def compared_branch_into_groups():
    @task.branch
    def choose():
        return ["left", "right.inner.x", "mapped"]

    def pair():
        EmptyOperator(task_id="a") >> EmptyOperator(task_id="b")

    @task_group
    def left():
        pair()

    @task_group
    def other():
        pair()

    @task_group
    def right():
        @task_group
        def inner():
            EmptyOperator(task_id="x")
            EmptyOperator(task_id="y")

        EmptyOperator(task_id="z")
        inner() >> EmptyOperator(task_id="w", trigger_rule="none_failed")

    @task
    def mapped(n):
        return n

    ones, twos = left(), other()
    chosen, not_chosen = mapped.expand(n=[1, 2]), mapped.override(task_id="not_chosen").expand(n=[1, 2])
    choose() >> [ones, twos, right(), chosen, not_chosen]
    for rule in RULES:
        [ones, twos] >> EmptyOperator(task_id=f"groups_{rule}", trigger_rule=rule)
        [chosen, not_chosen] >> EmptyOperator(task_id=f"mapped_{rule}", trigger_rule=rule)


@dag(schedule=None, tags=["compared"])
def compared_branches_nested():
    """A branch behind a branch, both of which name the same tasks; and a chosen task behind one that is not."""

    @task.branch
    def outer():
        return ["inner", "z"]

    @task.branch
    def inner():
        return "y"

    @task.branch
    def third():
        return "p"

    x, y, z, p, q = (EmptyOperator(task_id=name) for name in "xyzpq")
    first, second = outer(), inner()
    first >> [second, z, x]
    second >> [x, y]
    for rule in RULES:
        [x, y, z] >> EmptyOperator(task_id=f"join_{rule}", trigger_rule=rule)
    third() >> [p, q]
    q >> p


@dag(schedule=None, tags=["compared"])
def compared_branches_wrong():
    @task.branch
    def none():
        return []

    @task.branch
    def unknown():
        return "no_such_task"

    @task.branch
    def number():
        return 5

    for branch in (none, unknown, number):
        branch() >> EmptyOperator(task_id=f"after_{branch.function.__name__}")


@dag(schedule=None, tags=["compared"])
def compared_short_circuits():
    """Deep, near, and one that goes on, each before a group with a task that would run whatever happens."""

    @task_group
    def group():
        EmptyOperator(task_id="a") >> EmptyOperator(task_id="b", trigger_rule="all_done")

    for name, answer, ignores in (("deep", False, True), ("near", [], False), ("goes", "yes", True)):

        @task.short_circuit(task_id=name, ignore_downstream_trigger_rules=ignores)
        def ask(answer=answer):
            return answer

        within = group.override(group_id=f"{name}_group")()
        ask() >> within >> EmptyOperator(task_id=f"{name}_end", trigger_rule="none_failed")


@dag(schedule=None, tags=["compared"])
def compared_skips_in_mapped_group():
    """What a short circuit says in one index is for that index."""

    @task.short_circuit
    def is_odd(n):
        return n % 2 == 1

    @task
    def work(n):
        return n

    @task(trigger_rule="all_done")
    def gather(values):
        return list(values)

    @task_group
    def group(n):
        result = work(n)
        is_odd(n) >> result
        return result

    gather(group.expand(n=[1, 2, 3]))


compared_rules_over_mapped()
compared_rules_in_group()
compared_group_of_none()
compared_branch_into_groups()
compared_branches_nested()
compared_branches_wrong()
compared_short_circuits()
compared_skips_in_mapped_group()
