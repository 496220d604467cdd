"""Asks Airflow 3.3.2 how keys of partitions map, and writes the answers to control/test/data/partition-mappers.jsonl.gz.

Run it again: python -m venv V; V/bin/pip install apache-airflow==3.3.2; V/bin/python control/test/airflow/partitions.py [SEED]
One line for each mapper: its serialized form, then (key, keys of the listening Dag or "error", dates of those keys, and for a
roll-up the keys that it waits for).
"""
import gzip
import json
import os
import random
import sys
from datetime import timezone as fixed
from pathlib import Path

os.environ.setdefault("AIRFLOW__CORE__LOAD_EXAMPLES", "False")
from airflow.partition_mappers import allowed_key, base, chain, fixed_key, identity, product, temporal, wait_policy, window
from airflow.serialization.encoders import encode_partition_mapper

rng = random.Random(int(sys.argv[1]) if len(sys.argv) > 1 else 20261126)
UNITS = ["Hour", "Day", "Week", "Month", "Quarter", "Year"]
ZONES = ["UTC", "Europe/Zurich", "America/New_York", "Asia/Taipei", "Australia/Lord_Howe", "Asia/Kathmandu"]
INPUTS = ["%Y-%m-%dT%H:%M:%S", "%Y-%m-%dT%H", "%Y-%m-%d", "%Y%m%d", "%Y-%m", "%d %b %Y", "%Y-%j", "%Y-%m-%dT%H:%M:%S%z"]
OUTPUTS = {
    "Hour": ["%Y-%m-%dT%H", "%Y%m%d%H", "%d/%m/%Y %H"],
    "Day": ["%Y-%m-%d", "%Y%m%d", "%Y-%j"],
    "Week": ["%Y-%m-%d (W%V)", "%Y-%m-%d", "W%V from %d.%m.%Y"],
    "Month": ["%Y-%m", "%m/%Y", "%b %Y"],
    "Quarter": ["%Y-Q{quarter}", "{quarter}/%Y"],
    "Year": ["%Y", "y%Y"],
}
WINDOWS = ["Hour", "Day", "Week", "Month", "Quarter", "Year"]


def start_of(unit=None, input_format=None):
    unit = unit or rng.choice(UNITS)
    return getattr(temporal, f"StartOf{unit}Mapper")(
        timezone=rng.choice(ZONES), input_format=input_format or rng.choice(INPUTS), output_format=rng.choice(OUTPUTS[unit])
    )


def time_window():
    cls = getattr(window, f"{rng.choice(WINDOWS)}Window")
    return cls(direction=rng.choice(list(window.Window.Direction)))


def policy():
    return rng.choice([wait_policy.WaitForAll(), wait_policy.MinimumCount(rng.choice([1, 3, 20, 70, -1, -3]))])


def mapper():
    kind = rng.randrange(9)
    if kind < 4:
        return start_of()
    if kind == 4:
        return base.RollupMapper(upstream_mapper=start_of(), window=time_window(), wait_policy=policy())
    if kind == 5:
        return temporal.FanOutMapper(upstream_mapper=start_of(), window=time_window(), downstream_mapper=start_of())
    if kind == 6:
        inner = start_of("Day", "%Y-%m-%dT%H:%M:%S")
        inner.output_format = "%Y-%m-%d"
        return chain.ChainMapper(inner, start_of(None, "%Y-%m-%d"))
    if kind == 7:
        return product.ProductMapper(rng.choice([identity.IdentityMapper(), allowed_key.AllowedKeyMapper(["eu", "us"])]), start_of())
    return base.RollupMapper(
        upstream_mapper=fixed_key.FixedKeyMapper("all"), window=window.SegmentWindow(["eu", "us", "ap"]), wait_policy=policy()
    )


def times():
    import datetime

    epoch = datetime.datetime(2022, 1, 1)
    dt = epoch + datetime.timedelta(seconds=rng.randrange(5 * 365 * 86400))
    # Near changes of clocks, of months and of years more often.
    near = rng.choice([None, (2026, 3, 29, 2), (2026, 10, 25, 2), (2024, 2, 29, 23), (2023, 12, 31, 23), (2024, 11, 3, 1)])
    if near and rng.random() < 0.5:
        dt = datetime.datetime(*near, rng.randrange(60), rng.randrange(60))
    return dt


def key_for(m):
    if isinstance(m, product.ProductMapper):
        return f"{rng.choice(['eu', 'us', 'xx'])}|{key_for(m.mappers[1])}"
    if isinstance(m, chain.ChainMapper):
        return key_for(m.mappers[0])
    inner = getattr(m, "upstream_mapper", m)
    if not hasattr(inner, "input_format"):
        return rng.choice(["eu", "us", "ap"])
    text = times().replace(tzinfo=fixed.utc).strftime(inner.input_format)
    return text if rng.random() < 0.95 else text + "x"


def attempt(ask):
    try:
        return ask()
    except Exception:
        return "error"


def as_list(keys):
    return [keys] if isinstance(keys, str) else list(keys)


def stamp(date):
    return None if date is None else int(date.timestamp())


lines = []
for _ in range(400):
    m = mapper()
    answers = []
    for _ in range(8):
        key = key_for(m)
        keys = attempt(lambda: as_list(m.to_downstream(key)))
        dates = waits = None
        if keys != "error":
            dates = [attempt(lambda: stamp(m.to_partition_date(k))) for k in keys]
            if m.is_rollup:
                waits = attempt(lambda: sorted(m.to_upstream(keys[0])))
        answers.append([key, keys, dates, waits])
    lines.append(json.dumps({"m": encode_partition_mapper(m), "a": answers}, separators=(",", ":")))

out = Path(__file__).parents[1] / "data" / "partition-mappers.jsonl.gz"
out.write_bytes(gzip.compress("\n".join(lines).encode() + b"\n", mtime=0))
print(len(lines), "mappers,", len(lines) * 8, "keys")
