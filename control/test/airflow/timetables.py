"""Random schedules, and what Airflow 3.3.2 answers about them.

Run again: python3 -m venv V && V/bin/pip install apache-airflow==3.3.2, then
V/bin/python control/test/airflow/timetables.py SEED | gzip -n9 > control/test/data/timetables-random.jsonl.gz
V/bin/python control/test/airflow/timetables.py SEED changed | gzip -n9 > control/test/data/timetables-changed.jsonl.gz

The first asks for the next 20 runs, each after the one before. The second asks for one run after a last run that another schedule
made, as when a Dag's schedule has been changed, and for the interval of a run that somebody asks for.

Each line: t timetable document, e earliest, l latest, c catchup, n the clock at each step, r per step [start, end, run_after]
(epoch seconds), null when there is no next run, "error" when the timetable raised. Without catchup the clock moves on after each step.
Of "changed" also: p the last run as [start, end] or null, m the logical date of a manual run, i its interval; a run of a partition
is [run_after, key, partition date].
"""

from __future__ import annotations

import datetime
import json
import os
import random
import sys
import tempfile
import types

# What Airflow logs must not be among the answers.
OUT, sys.stdout = sys.stdout, sys.stderr
os.environ.setdefault("AIRFLOW_HOME", tempfile.mkdtemp())

import pendulum  # noqa: E402
from airflow._shared.timezones import timezone as shared_timezone  # noqa: E402
from airflow.serialization.decoders import decode_timetable  # noqa: E402
from airflow.timetables import _cron, _delta, interval, trigger  # noqa: E402
from airflow.timetables.base import DagRunInfo, TimeRestriction  # noqa: E402

SEED = int(sys.argv[1]) if len(sys.argv) > 1 else 20260610
CASES = 2000
STEPS = 20
rng = random.Random(SEED)

# Not Africa/Casablanca and other zones whose rules changed lately: their answers depend on the release of the zone data.
ZONES = """UTC Europe/Zurich Europe/London Europe/Lisbon Europe/Dublin Europe/Athens Europe/Moscow America/New_York America/Chicago
America/Denver America/Los_Angeles America/Sao_Paulo America/Santiago America/St_Johns America/Caracas America/Asuncion America/Havana
Asia/Kolkata Asia/Kathmandu Asia/Tokyo Asia/Shanghai Asia/Tehran Asia/Beirut Asia/Amman Asia/Jerusalem Australia/Sydney Australia/Lord_Howe
Australia/Adelaide Pacific/Auckland Pacific/Chatham Pacific/Apia Pacific/Kiritimati Africa/Cairo Africa/Johannesburg
Atlantic/Azores Antarctica/Troll""".split()
CLOCK = [pendulum.datetime(2026, 1, 1)]


def frozen():
    return CLOCK[0]


# Every way by which a timetable asks for the time.
shared_timezone.utcnow = frozen
for module in (trigger, interval, _cron, _delta):
    if hasattr(module, "utcnow"):
        module.utcnow = frozen
trigger.time = types.SimpleNamespace(time=lambda: CLOCK[0].timestamp())


def field(low: int, high: int, stars: float) -> str:
    kind = rng.random()
    if kind < stars:
        return "*"
    if kind < stars + 0.12:
        return f"*/{rng.choice([2, 3, 4, 5, 6, 10, 12, 15, 20, 30])}" if high > 12 else f"*/{rng.choice([2, 3])}"
    if kind < stars + 0.2:
        a, b = sorted(rng.sample(range(low, high + 1), 2))
        return f"{a}-{b}" if rng.random() < 0.6 else f"{a}-{b}/{rng.choice([1, 2, 3])}"
    if kind < stars + 0.3:
        return ",".join(str(n) for n in sorted(rng.sample(range(low, high + 1), rng.choice([2, 3]))))
    return str(rng.randint(low, high))


def day_field() -> str:
    kind = rng.random()
    if kind < 0.7:
        return "*"
    if kind < 0.76:
        return "L"
    if kind < 0.8:
        return f"{rng.randint(1, 28)}W"
    return field(1, 28, 0.0)


def weekday_field() -> str:
    kind = rng.random()
    if kind < 0.65:
        return "*"
    if kind < 0.72:
        return rng.choice(["MON", "SUN", "FRI", "MON-FRI", "SAT,SUN", "TUE"])
    if kind < 0.76:
        return f"L{rng.randint(1, 6)}"
    if kind < 0.8:
        return f"{rng.choice(['MON', 'WED', 'FRI', '2', '4'])}#{rng.randint(1, 4)}"
    return field(0, 6, 0.0)


def cron() -> str:
    if rng.random() < 0.12:
        return rng.choice(["@hourly", "@daily", "@weekly", "@monthly", "@quarterly", "@yearly", "@midnight"])
    # Hours near the shifts of daylight saving are the hard ones.
    hour = rng.choice([str(rng.randint(0, 4)), field(0, 23, 0.3), field(0, 23, 0.3)])
    parts = [field(0, 59, 0.15), hour, day_field(), field(1, 12, 0.85), weekday_field()]
    if rng.random() < 0.04:
        parts.append(str(rng.randint(0, 59)))
    return " ".join(parts)


def zone():
    return rng.choice([0, 3600, -12600, 19800]) if rng.random() < 0.05 else rng.choice(ZONES)


def document():
    kind = rng.random()
    p = "airflow.timetables."
    if kind < 0.5:
        immediate = rng.choice([False, True, 3600.0, 90000.0])
        width = rng.choice([0.0, 0.0, 3600.0, 86400.0])
        return {"__type": p + "trigger.CronTriggerTimetable", "__var": {"expression": cron(), "timezone": zone(), "interval": width, "run_immediately": immediate}}
    if kind < 0.75:
        return {"__type": p + "interval.CronDataIntervalTimetable", "__var": {"expression": cron(), "timezone": zone()}}
    if kind < 0.83:
        crons = [cron() for _ in range(rng.choice([2, 3]))]
        return {"__type": p + "trigger.MultipleCronTriggerTimetable", "__var": {"expressions": crons, "timezone": zone(), "interval": 0.0, "run_immediately": False}}
    if kind < 0.9:
        return {"__type": p + "trigger.DeltaTriggerTimetable", "__var": {"delta": float(rng.choice([60, 300, 5400, 86400, 604800, 100000])), "interval": rng.choice([0.0, 3600.0])}}
    if kind < 0.96:
        return {"__type": p + "interval.DeltaDataIntervalTimetable", "__var": {"delta": float(rng.choice([60, 300, 5400, 86400, 604800, 100000]))}}
    return rng.choice(
        [
            {"__type": p + "simple.OnceTimetable", "__var": {}},
            {"__type": p + "simple.ContinuousTimetable", "__var": {}},
            {"__type": p + "simple.NullTimetable", "__var": {}},
        ]
    )


def instant(low_year=2024, high_year=2027):
    low = datetime.datetime(low_year, 1, 1, tzinfo=datetime.timezone.utc).timestamp()
    high = datetime.datetime(high_year, 1, 1, tzinfo=datetime.timezone.utc).timestamp()
    at = int(rng.uniform(low, high))
    return at - at % rng.choice([1, 60, 3600, 86400])


def at(seconds):
    return None if seconds is None else pendulum.from_timestamp(seconds)


def case():
    doc = document()
    earliest = instant() if rng.random() < 0.85 else None
    latest = (earliest or instant()) + rng.choice([86400, 86400 * 40, 86400 * 400]) if rng.random() < 0.1 else None
    catchup = rng.random() < 0.5
    now = max(instant(2025, 2027), (earliest or 0) - 86400 * 3)
    line = {"t": doc, "e": earliest, "l": latest, "c": catchup, "n": [], "r": []}
    try:
        timetable = decode_timetable(doc)
        timetable.validate()
    except Exception:
        line["r"].append("error")
        return line
    last = None
    for _ in range(STEPS):
        CLOCK[0] = pendulum.from_timestamp(now)
        line["n"].append(now)
        try:
            info = timetable.next_dagrun_info_v2(
                last_dagrun_info=last, restriction=TimeRestriction(at(earliest), at(latest), catchup)
            )
        except Exception as error:
            print(type(error).__name__, error, doc, file=sys.stderr)
            line["r"].append("error")
            break
        if info is None:
            line["r"].append(None)
            break
        start, end = info.data_interval.start.timestamp(), info.data_interval.end.timestamp()
        line["r"].append([start, end, info.run_after.timestamp()])
        last = info
        if not catchup:
            # Mostly on time, sometimes after an outage.
            wait = rng.choice([0, 1, 30, 30, 3600, 86400 * 9])
            now = max(now, int(info.run_after.timestamp())) + wait
    return line


def more_documents():
    """Also of the kinds that a run of 20 steps says little about."""
    kind = rng.random()
    p = "airflow.timetables."
    if kind < 0.4:
        return document()
    if kind < 0.6:
        dates = sorted({instant(2025, 2027) for _ in range(rng.choice([0, 1, 3, 8]))})
        shown = [pendulum.from_timestamp(date).isoformat() for date in dates]
        var = {"event_dates": shown, "restrict_to_events": rng.random() < 0.5, "description": "", "_summary": ""}
        return {"__type": p + "events.EventsTimetable", "__var": var}
    if kind < 0.75:
        delta = rng.choice([{"months": 1}, {"months": 3}, {"years": 1}, {"months": 1, "days": 1}, {"days": 2}, {"hours": 36}])
        if rng.random() < 0.5:
            return {"__type": p + "interval.DeltaDataIntervalTimetable", "__var": {"delta": delta}}
        return {"__type": p + "trigger.DeltaTriggerTimetable", "__var": {"delta": delta, "interval": rng.choice([0.0, delta])}}
    if kind < 0.85:
        return {"__type": p + "simple.ContinuousTimetable", "__var": {}}
    var = {"expression": cron(), "timezone": zone(), "run_immediately": rng.choice([False, True, 3600.0])}
    var |= {"run_offset": rng.choice([0, 0, -1, 1, 3]), "key_format": rng.choice(["%Y-%m-%d", "%Y-%m-%dT%H:%M:%S"])}
    return {"__type": p + "trigger.CronPartitionTimetable", "__var": var}


def changed():
    doc = more_documents()
    earliest = instant(2025, 2027) if rng.random() < 0.7 else None
    latest = (earliest or instant()) + rng.choice([86400, 86400 * 40, 86400 * 400]) if rng.random() < 0.1 else None
    now = instant(2025, 2027)
    last = None
    if rng.random() < 0.7:
        start = now - rng.choice([-60, 0, 60, 3600, 90000, 86400 * 20, 86400 * 200])
        start -= start % rng.choice([1, 60, 3600, 86400])
        last = [start, start + rng.choice([0, 60, 3600, 86400, 86400 * 31, 86400 * 365])]
    line = {"t": doc, "e": earliest, "l": latest, "c": rng.random() < 0.5, "n": [now], "p": last, "m": instant(2025, 2027), "r": [], "i": None}
    CLOCK[0] = pendulum.from_timestamp(now)
    try:
        timetable = decode_timetable(doc)
        timetable.validate()
    except Exception:
        line["r"].append("error")
        return line
    restriction = TimeRestriction(at(earliest), at(latest), line["c"])
    try:
        if timetable.partitioned:
            before = last and DagRunInfo(run_after=at(last[1]), data_interval=None, partition_date=None, partition_key=None)
            info = timetable.next_dagrun_info_v2(last_dagrun_info=before, restriction=restriction)
            line["r"].append(info and [info.run_after.timestamp(), info.partition_key, info.partition_date.timestamp()])
        else:
            before = last and DagRunInfo.interval(at(last[0]), at(last[1]))
            info = timetable.next_dagrun_info_v2(last_dagrun_info=before, restriction=restriction)
            line["r"].append(info and [info.data_interval.start.timestamp(), info.data_interval.end.timestamp(), info.run_after.timestamp()])
    except Exception as error:
        print(type(error).__name__, error, doc, file=sys.stderr)
        line["r"].append("error")
    try:
        interval = timetable.infer_manual_data_interval(run_after=at(line["m"]))
        line["i"] = [compact(interval.start.timestamp()), compact(interval.end.timestamp())]
    except Exception:
        line["i"] = "error"
    return line


def compact(value):
    return int(value) if isinstance(value, float) and value.is_integer() else value


for _ in range(CASES):
    line = changed() if sys.argv[2:] == ["changed"] else case()
    line["r"] = [[compact(x) for x in r] if isinstance(r, list) else r for r in line["r"]]
    print(json.dumps(line, separators=(",", ":")), file=OUT)
