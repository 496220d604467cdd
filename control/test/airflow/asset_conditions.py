"""Random schedules of assets, and whether Airflow 3.3.2 finds them satisfied by what has happened.

Run again: python3 -m venv V && V/bin/pip install apache-airflow==3.3.2, then
V/bin/python control/test/airflow/asset_conditions.py SEED | gzip -n9 > control/test/data/asset-conditions.jsonl.gz

Each line: a the assets as [name, uri, active, aliases], c the condition as a document has it, q the places in `a` of those
that had an event, r whether the condition holds.
"""

from __future__ import annotations

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

from airflow.assets.evaluation import AssetEvaluator  # noqa: E402
from airflow.models.asset import AssetActive, AssetAliasModel, AssetModel  # noqa: E402
from airflow.serialization.decoders import decode_asset_like  # noqa: E402
from airflow.serialization.definitions.assets import SerializedAssetUniqueKey  # noqa: E402
from airflow.utils.db import initdb  # noqa: E402
from airflow.utils.session import create_session  # noqa: E402

CASES = 1000
WORLDS = 40
rng = random.Random(int(sys.argv[1]) if len(sys.argv) > 1 else 20261127)


def asset(name, uri):
    return {"__type": "asset", "name": name, "uri": uri, "group": "asset", "extra": {}}


def condition(assets, depth):
    kind = rng.random()
    if depth > 0 and kind < 0.55:
        parts = [condition(assets, depth - 1) for _ in range(rng.choice([1, 2, 2, 3]))]
        return {"__type": rng.choice(["asset_all", "asset_any"]), "objects": parts}
    name, uri, _, _ = rng.choice(assets)
    if kind < 0.75:
        return asset(name, uri)
    if kind < 0.87:
        return {"__type": "asset_alias", "name": rng.choice(["l0", "l1", "l2"]), "group": "asset"}
    return {"__type": "asset_ref", **rng.choice([{"name": name}, {"uri": uri}, {"name": "absent"}])}


def world(session):
    """Some assets share a name or a uri with another; of those only one is active."""
    for model in (AssetActive, AssetAliasModel, AssetModel):
        for row in session.query(model).all():
            session.delete(row)
    session.flush()
    aliases = {name: AssetAliasModel(name=name) for name in ("l0", "l1")}
    session.add_all(aliases.values())
    assets, names, uris = [], set(), set()
    pairs = {(rng.choice("abcd"), f"x://{rng.choice('abcd')}") for _ in range(6)}
    for name, uri in sorted(pairs):
        active = rng.random() < 0.8 and name not in names and uri not in uris
        under = [alias for alias in aliases if rng.random() < 0.3]
        model = AssetModel(name=name, uri=uri)
        model.aliases = [aliases[alias] for alias in under]
        session.add(model)
        session.flush()
        if active:
            session.add(AssetActive(name=name, uri=uri))
            names.add(name)
            uris.add(uri)
        assets.append([name, uri, active, under])
    session.flush()
    return assets


initdb()
with create_session() as session:
    for _ in range(WORLDS):
        assets = world(session)
        session.expire_all()
        for _ in range(CASES // WORLDS):
            document = condition(assets, rng.choice([0, 1, 2, 3]))
            had = [place for place in range(len(assets)) if rng.random() < 0.45]
            statuses = {SerializedAssetUniqueKey(name=assets[place][0], uri=assets[place][1]): True for place in had}
            holds = bool(AssetEvaluator(session).run(decode_asset_like(document), statuses))
            line = {"a": assets, "c": document, "q": had, "r": holds}
            print(json.dumps(line, separators=(",", ":")), file=OUT)
