/** In what Dags, and files, may differ on Airlock, each with the reason that the page of the comparison shows. */
export type Exception = {
  readonly reason: string;
  /** What a difference must be for the reason to cover it; anything else is a failure of the comparison. */
  readonly covers: RegExp;
};

const oneAddress: Exception = {
  reason:
    'its asset shares its URI with one of another name in another example; which of the two is active depends on which file is read first, on Airflow as here',
  covers: /./,
};
const ownHome: Exception = {
  reason:
    'it counts the files below `$AIRFLOW_HOME/dags`; the home of a sandboxed task is its own and empty, and its bundle is elsewhere',
  covers: /^XCom describe_dag_folder\[-1\] (?:file_count|return_value): /,
};
const randomRows: Exception = {
  reason: 'it counts a random number of rows',
  covers: /^XCom (?:load\[-1\] return_value|run_job\[-1\] return_value|process_table\[\d\] row_count): /,
};
const branches: Exception = {
  reason: 'it chooses its branches at random: two runs differ on Airflow, too',
  covers: /^(?:(?:branch|follow|ext_py|venv)_\w*: (?:success|skipped|try [01]) \/|XCom )/,
};
const lostSkips: Exception = {
  reason:
    'what a branch or short circuit says in one index of a mapped group is lost on Airflow 3.3.2 when the tasks behind it have not been expanded; here it counts',
  covers: /^(?:group\.work\[1\]: |XCom (?:gather\[-1\]|group\.work\[1\]) return_value: )/,
};

const ownWeights: Exception = {
  reason: 'its weights are those of a strategy of its own, which is not asked: such a Dag is refused',
  covers: /^(?:run \w+ \/ no Dag|(?:\w+|XCom .*): missing here|none \/ .*is no weight rule.*)$/,
};

export const EXCEPTIONS: Readonly<Record<string, Exception>> = {
  asset_with_extra_by_context: oneAddress,
  asset_with_extra_by_yield: oneAddress,
  asset_with_extra_from_classic_operator: oneAddress,
  compared_skips_in_mapped_group: lostSkips,
  example_asset_state_store_producer: randomRows,
  example_bash_decorator: ownHome,
  example_bash_operator: ownHome,
  example_branch_operator: branches,
  example_branch_python_operator_decorator: branches,
  example_custom_weight: ownWeights,
  'example_custom_weight.py': ownWeights,
  example_task_state_store: randomRows,
  example_task_state_store_mapped: randomRows,
  read_asset_event: oneAddress,
  read_asset_event_from_classic: oneAddress,
};
