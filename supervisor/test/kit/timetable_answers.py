"""What Airflow itself answers: the next runs of each given timetable, one JSON line for each case on standard input."""

import json
import sys

import pendulum
from airflow.serialization.decoders import decode_timetable
from airflow.timetables.base import TimeRestriction


def instant(text):
    return None if text is None else pendulum.instance(pendulum.parse(text))


for line in sys.stdin:
    case = json.loads(line)
    timetable = decode_timetable(case["timetable"])
    limits = TimeRestriction(instant(case["earliest"]), instant(case["latest"]), case["catchup"])
    last, runs = None, []
    while len(runs) < case["count"]:
        last = timetable.next_dagrun_info_v2(last_dagrun_info=last, restriction=limits)
        if last is None:
            break
        runs.append([at.timestamp() for at in (last.run_after, last.data_interval.start, last.data_interval.end)])
    manual = timetable.infer_manual_data_interval(run_after=instant(case["at"]))
    print(json.dumps({"runs": runs, "manual": [manual.start.timestamp(), manual.end.timestamp()]}))
