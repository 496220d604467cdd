"""The plugins that two of Airflow's examples need, which [core] load_examples would register beside the examples themselves."""

from airflow.example_dags.plugins.decreasing_priority_weight_strategy import (  # noqa: F401
    DecreasingPriorityWeightStrategyPlugin,
)
from airflow.example_dags.plugins.workday import WorkdayTimetablePlugin  # noqa: F401
