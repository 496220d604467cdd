"""Timetables of one's own, as a plugin registers them: two that real teams would write, and hostile ones."""

import os
import socket
import time

from airflow.plugins_manager import AirflowPlugin
from airflow.timetables.base import DagRunInfo, DataInterval, Timetable
from pendulum import UTC, DateTime, Time


class UnevenIntervals(Timetable):
    """Twice a day, at 06:00 and 16:30 in a zone; names its runs."""

    description = "At 06:00 and 16:30"

    def __init__(self, zone="Europe/Zurich"):
        self.zone = zone

    @property
    def summary(self):
        return f"06:00 and 16:30 {self.zone}"

    def serialize(self):
        return {"zone": self.zone}

    @classmethod
    def deserialize(cls, data):
        return cls(data["zone"])

    def _before(self, at):
        local = at.in_timezone(self.zone)
        if (local.hour, local.minute) < (6, 0):
            return local.subtract(days=1).at(16, 30)
        return local.at(6, 0) if (local.hour, local.minute) < (16, 30) else local.at(16, 30)

    def _after(self, at):
        local = at.in_timezone(self.zone)
        return local.at(16, 30) if local.hour == 6 else local.add(days=1).at(6, 0)

    def infer_manual_data_interval(self, *, run_after):
        end = self._before(run_after)
        return DataInterval(self._before(end.subtract(minutes=1)).in_timezone(UTC), end.in_timezone(UTC))

    def next_dagrun_info(self, *, last_automated_data_interval, restriction):
        if last_automated_data_interval is not None:
            start = last_automated_data_interval.end
        elif restriction.earliest is None:
            return None
        else:
            start = self._before(restriction.earliest)
            if not restriction.catchup:
                start = max(start, self._before(DateTime.now(UTC)))
        if restriction.latest is not None and start > restriction.latest:
            return None
        return DagRunInfo.interval(start.in_timezone(UTC), self._after(start).in_timezone(UTC))

    def generate_run_id(self, *, run_type, run_after, data_interval, **extra):
        return f"{run_type.value}-{data_interval.end.strftime('%Y%m%dT%H%M')}" if data_interval else f"{run_type.value}-now"


class MonthEnds(Timetable):
    """On the last day of each month, by the interface that is given the whole last run."""

    periodic = True

    def infer_manual_data_interval(self, *, run_after):
        return DataInterval.exact(run_after)

    def next_dagrun_info_v2(self, *, last_dagrun_info, restriction):
        at = last_dagrun_info.run_after.add(days=1) if last_dagrun_info else restriction.earliest
        if at is None:
            return None
        end = DateTime.combine(at.end_of("month").date(), Time.min).replace(tzinfo=UTC)
        if restriction.latest is not None and end > restriction.latest:
            return None
        return DagRunInfo(run_after=end, data_interval=DataInterval(end.start_of("month"), end))


class Simple(Timetable):
    """One run a day after the last, and before that what a subclass does."""

    def infer_manual_data_interval(self, *, run_after):
        self.first()
        return DataInterval.exact(run_after)

    def next_dagrun_info(self, *, last_automated_data_interval, restriction):
        self.first()
        start = last_automated_data_interval.end if last_automated_data_interval else restriction.earliest
        return DagRunInfo.interval(start, start.add(days=1))

    def first(self):
        pass


class Endless(Simple):
    def first(self):
        while True:
            try:
                time.sleep(0.01)
            except TimeoutError:
                pass


class Slow(Simple):
    def first(self):
        time.sleep(600)


class Hungry(Simple):
    def first(self):
        self.held = bytearray(4 * 1024**3)


class Leaves(Simple):
    def first(self):
        os._exit(3)


class Connects(Simple):
    def first(self):
        socket.create_connection(("127.0.0.1", int(open(os.path.dirname(__file__) + "/port").read())), 5)


class Raises(Simple):
    def first(self):
        raise ValueError("no such calendar")


class Reads(Simple):
    def first(self):
        from airflow.sdk import Variable

        Variable.get("canary")


class Partitioned(Simple):
    partitioned = True


class Invalid(Simple):
    def validate(self):
        raise ValueError("never valid")


ALL = [UnevenIntervals, MonthEnds, Simple, Endless, Slow, Hungry, Leaves, Connects, Raises, Reads, Partitioned, Invalid]


class OwnTimetables(AirflowPlugin):
    name = "own_timetables"
    timetables = ALL
