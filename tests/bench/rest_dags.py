from airflow.sdk import dag, task
import datetime as d


def make(name):
    @dag(dag_id=name, schedule=None, start_date=d.datetime(2024, 1, 1))
    def ten():
        for i in range(10):

            @task(task_id=f"t{i}")
            def f():
                print("a line of its log")

            f()

    ten()


make("ten")
make("ten_more")
