"""Random backfills, and what Airflow 3.3.2 makes of each: which runs, in which order, and why others are not.

Run again: python3 -m venv V && V/bin/pip install apache-airflow==3.3.2, then
V/bin/python control/test/airflow/backfills.py SEED | gzip -n9 > control/test/data/backfills.jsonl.gz

Each line: t timetable document, p a task depends on its past, a allowed types of runs, n the time (epoch seconds), q the request, e the runs that are there as [date, state, start or
null], in the order in which they came; r what became of each place as [date, partition key, "new", "again" or the reason], or
the class of the error. Dates are of the partition where there is one, else logical.
"""

from __future__ import annotations

import datetime
import json
import os
import random
import sys
import tempfile

OUT, sys.stdout = sys.stdout, sys.stderr
HOME = tempfile.mkdtemp()
os.environ["AIRFLOW_HOME"] = HOME
os.environ["AIRFLOW__CORE__LOAD_EXAMPLES"] = "False"
os.environ["AIRFLOW__DATABASE__SQL_ALCHEMY_CONN"] = f"sqlite:///{HOME}/airflow.db"

import pendulum  # noqa: E402
from airflow._shared.timezones import timezone  # noqa: E402
from airflow.models import DagRun  # noqa: E402
from airflow.models.backfill import BackfillDagRun, ReprocessBehavior, _create_backfill  # noqa: E402
from airflow.models.dag import DagModel  # noqa: E402
from airflow.models.dagbundle import DagBundleModel  # noqa: E402
from airflow.models.serialized_dag import SerializedDagModel  # noqa: E402
from airflow.providers.standard.operators.empty import EmptyOperator  # noqa: E402
from airflow.sdk import (  # noqa: E402
    DAG,
    Asset,
    AssetOrTimeSchedule,
    CronDataIntervalTimetable,
    CronPartitionTimetable,
    CronTriggerTimetable,
    DeltaDataIntervalTimetable,
    DeltaTriggerTimetable,
    MultipleCronTriggerTimetable,
    PartitionedAssetTimetable,
)
from airflow.timetables.events import EventsTimetable  # noqa: E402
from airflow.serialization.serialized_objects import DagSerialization, LazyDeserializedDAG  # noqa: E402
from airflow.utils.db import initdb  # noqa: E402
from airflow.utils.session import create_session  # noqa: E402
from airflow.utils.types import DagRunTriggeredByType, DagRunType  # noqa: E402
from sqlalchemy import select  # noqa: E402

CASES = 300
rng = random.Random(int(sys.argv[1]) if len(sys.argv) > 1 else 20261127)
CLOCK = [pendulum.datetime(2026, 1, 1)]
timezone.utcnow = lambda: CLOCK[0]
HOUR, DAY = 3600, 86400
FIRST = int(pendulum.datetime(2026, 3, 1).timestamp())
ZONES = ["UTC", "Europe/Zurich", "America/New_York", "Asia/Kolkata"]
CRONS = ["0 0 * * *", "0 */6 * * *", "30 2 * * *", "0 12 * * 1-5", "15 3,15 * * *"]


def at(seconds):
    return None if seconds is None else pendulum.from_timestamp(seconds)


def schedule():
    cron, zone = rng.choice(CRONS), rng.choice(ZONES)
    width = rng.choice([datetime.timedelta(), datetime.timedelta(hours=6)])
    delta = datetime.timedelta(hours=rng.choice([6, 12, 24, 36]))
    return rng.choice(
        [
            lambda: CronTriggerTimetable(cron, timezone=zone, interval=width),
            lambda: CronDataIntervalTimetable(cron, timezone=zone),
            lambda: MultipleCronTriggerTimetable(cron, rng.choice(CRONS), timezone=zone),
            lambda: DeltaTriggerTimetable(delta, interval=width),
            lambda: DeltaDataIntervalTimetable(delta),
            lambda: EventsTimetable([at(FIRST + rng.randrange(0, 40) * DAY // 2) for _ in range(8)]),
            lambda: CronPartitionTimetable(cron, timezone=zone, run_offset=rng.choice([0, -1, 1])),
            lambda: CronPartitionTimetable(cron, timezone=zone, key_format="%Y-%m-%d.%H"),
            lambda: AssetOrTimeSchedule(timetable=CronTriggerTimetable(cron, timezone=zone), assets=[Asset("a")]),
            lambda: rng.choice([None, "@once", "@continuous", [Asset("a")], PartitionedAssetTimetable(assets=Asset("a"))]),
        ]
    )()


def case(number):
    dag_id = f"d{number}"
    more = {"allowed_run_types": ["manual", "scheduled", "asset_triggered"]} if rng.random() < 0.03 else {}
    timetable = schedule()
    if timetable == "@continuous":
        more["max_active_runs"] = 1
    with DAG(dag_id, schedule=timetable, start_date=at(FIRST - 90 * DAY), **more) as dag:
        past = rng.random() < 0.1
        EmptyOperator(task_id="t", depends_on_past=past)
    begin = FIRST + rng.randrange(0, 20 * 24) * HOUR
    end = begin + rng.choice([-DAY, 0, DAY, 2 * DAY, 3 * DAY, 6 * DAY, 6 * DAY])
    now = begin + rng.choice([-DAY, DAY, 2 * DAY, 2 * DAY + 60, 10 * DAY, 10 * DAY, 40 * DAY])
    request = {
        "from": begin,
        "to": end,
        "backwards": rng.random() < 0.3,
        "reprocess": rng.choice(["none", "failed", "completed"]),
    }
    document = DagSerialization.to_dict(dag)
    line = {"t": document["dag"]["timetable"], "p": past, "a": more.get("allowed_run_types"), "n": now, "q": request, "e": [], "r": None}
    CLOCK[0] = at(now)
    with create_session() as session:
        session.add(DagModel(dag_id=dag_id, bundle_name="b", allowed_run_types=more.get("allowed_run_types")))
        session.flush()
        SerializedDagModel.write_dag(LazyDeserializedDAG(data=document), bundle_name="b", session=session)
        session.flush()
        serdag = session.scalar(SerializedDagModel.latest_item_select_object(dag_id)).dag
        partitioned = bool(serdag.timetable.partitioned)
        infos = []
        if serdag.timetable.periodic:
            infos = list(serdag.iter_dagrun_infos_between(at(begin), at(max(begin, end))))
        ids = set()
        for info in infos:
            # A partition may have had several runs.
            for attempt in range(rng.choice([0, 0, 1, 1, 2 if partitioned else 1])):
                date = int((info.partition_date or info.logical_date).timestamp())
                state = rng.choice(["success", "failed", "failed", "running", "queued"])
                start = None if state == "queued" else now - 50 * DAY + rng.randrange(0, DAY)
                run = DagRun(
                    dag_id=dag_id,
                    run_id=f"manual__{date}_{attempt}",
                    logical_date=info.logical_date,
                    data_interval=info.data_interval,
                    run_after=info.run_after,
                    run_type=DagRunType.MANUAL,
                    triggered_by=DagRunTriggeredByType.REST_API,
                    state=state,
                    start_date=at(start),
                    partition_key=info.partition_key,
                    partition_date=info.partition_date,
                )
                session.add(run)
                session.flush()
                ids.add(run.id)
                line["e"].append([date, state, start])
    try:
        backfill = _create_backfill(
            dag_id=dag_id,
            from_date=at(begin),
            to_date=at(end),
            max_active_runs=10,
            reverse=request["backwards"],
            dag_run_conf=None,
            triggering_user_name=None,
            reprocess_behavior=ReprocessBehavior(request["reprocess"]),
        )
    except Exception as error:
        line["r"] = type(error).__name__
        return line
    with create_session() as session:
        rows = session.scalars(
            select(BackfillDagRun).where(BackfillDagRun.backfill_id == backfill.id).order_by(BackfillDagRun.sort_ordinal)
        ).all()
        reverse = list(reversed(infos)) if request["backwards"] else infos
        dates = {info.partition_key: int(info.partition_date.timestamp()) for info in reverse if info.partition_date}
        line["r"] = [
            [
                dates[row.partition_key] if partitioned else int(row.logical_date.timestamp()),
                row.partition_key,
                row.exception_reason or ("again" if row.dag_run_id in ids else "new"),
            ]
            for row in rows
        ]
    return line


initdb()
with create_session() as session:
    session.add(DagBundleModel(name="b"))
for number in range(CASES):
    print(json.dumps(case(number), separators=(",", ":")), file=OUT)
