import { bool, choice, int, number, optionalBool, optionalText, text } from './options.ts';
import { FERNET_KEYS, HTTP_URL, PATH, TIME_ZONE } from './rules.ts';

/** What an Airflow's file says for its manager with users of its own; means `built-in`. */
const AIRFLOW_SIMPLE = 'airflow.api_fastapi.auth.managers.simple.simple_auth_manager.SimpleAuthManager';

export const CORE_OPTIONS = {
  dags_folder: text('$AIRLOCK_HOME/dags', {
    readers: ['standalone', 'control', 'supervisor', 'cli'],
    unit: 'path',
    rule: PATH,
    advice: 'Folder of Dag files of the default bundle `dags-folder`.',
  }),
  plugins_folder: optionalText({
    readers: ['supervisor'],
    unit: 'path',
    rule: PATH,
    advice:
      'Folder of plugins of the Pythons of this host, such as those that register timetables of your own; every Python child may read it. Unset: only plugins that are installed as packages.',
  }),
  dagbag_import_timeout: number(30, {
    readers: ['supervisor'],
    unit: 's',
    min: 0.1,
    advice:
      'Time allowed to parse one Dag file, and to answer one question to a timetable of its own; then it is killed, and reported as an import error.',
  }),
  dag_ignore_file_syntax: choice(['glob', 'regexp'], 'glob', {
    readers: ['supervisor'],
    advice: 'How the lines of `.airflowignore` files are read: as in .gitignore, or as regular expressions.',
  }),
  load_examples: bool(true, {
    readers: ['standalone', 'control', 'supervisor', 'cli'],
    advice: 'Show the examples, with the variable, pool and connection that they use, on first start.',
  }),
  dags_are_paused_at_creation: bool(true, {
    readers: ['control'],
    advice: 'New Dags start paused, unless they say otherwise themselves.',
  }),
  parallelism: int(32, {
    readers: ['control', 'supervisor'],
    unit: 'count',
    min: 1,
    max: 10_000,
    advice:
      'Task instances that are queued or running at once in this deployment, and tasks that one worker runs at once.',
  }),
  max_active_tasks_per_dag: int(16, {
    readers: ['control'],
    unit: 'count',
    min: 1,
    advice: 'Tasks of one Dag run at once, where the Dag names no number.',
  }),
  max_active_runs_per_dag: int(16, {
    readers: ['control'],
    unit: 'count',
    min: 1,
    advice: 'Running runs of one Dag at once, where the Dag names no number.',
  }),
  max_consecutive_failed_dag_runs_per_dag: int(0, {
    readers: ['control'],
    unit: 'count',
    min: 0,
    advice: 'Pause a Dag after that many failed runs in a row; 0 = never.',
  }),
  rerun_with_latest_version: optionalBool({
    readers: ['control'],
    advice:
      'Whether a run of a bundle with versions moves to the newest version of its Dag when it is cleared or run again by a backfill, where neither the request nor the Dag says. Unset: backfills do, clears do not.',
  }),
  default_timezone: text('utc', {
    readers: ['control', 'supervisor'],
    unit: 'zone',
    rule: TIME_ZONE,
    advice: 'Zone of a Dag that names none: `utc` or an IANA name.',
  }),
  max_task_retry_delay: number(86_400, {
    readers: ['control'],
    unit: 's',
    min: 1,
    advice: 'Upper bound of every wait between tries, whatever its backoff says.',
  }),
  task_success_overtime: number(20, {
    readers: ['supervisor'],
    unit: 's',
    min: 0,
    advice: 'Time that the process of a Python task may go on after it has reported its state; then it is killed.',
  }),
  max_map_length: int(1024, {
    readers: ['control'],
    unit: 'items',
    min: 1,
    advice: 'Longest result over which a task may fan out.',
  }),
  num_dag_runs_to_retain_rendered_fields: int(30, {
    readers: ['control'],
    unit: 'runs',
    min: 0,
    formerly: ['core.max_num_rendered_ti_fields_per_task'],
    advice: 'Newest runs of each Dag whose rendered fields are kept; 0 = all.',
  }),
  hide_sensitive_var_conn_fields: bool(true, {
    readers: ['control'],
    advice: 'Mask variables and connection fields whose names look like secrets.',
  }),
  sensitive_var_conn_names: text('', {
    readers: ['control', 'supervisor'],
    unit: 'names',
    advice: 'Further names of variables and fields that count as secret, separated by commas.',
  }),
  fernet_key: optionalText({
    readers: ['control'],
    sensitive: true,
    rule: FERNET_KEYS,
    advice:
      'Encrypts connection passwords and extras and variables at rest; several, separated by commas, to rotate. Unset: standalone makes one in keys/.',
  }),
  test_connection: choice(['Disabled', 'Enabled', 'Hidden'], 'Disabled', {
    readers: ['control'],
    advice:
      'Let people with the right to create connections test them. A worker does it, in a sandboxed Python that is given that one connection.',
  }),
  auth_manager: choice(['built-in', 'openid', AIRFLOW_SIMPLE], 'built-in', {
    readers: ['control'],
    advice:
      'Where users come from: `built-in`, the accounts of this deployment; `openid`, an identity provider besides them, see [oidc].',
  }),
  simple_auth_manager_all_admins: bool(false, {
    readers: ['control'],
    advice:
      'Nobody has to log in, and everybody is an administrator. For a laptop: only on a loopback address, and every process of the machine is meant, tasks included.',
  }),
  multi_team: bool(false, {
    readers: ['control'],
    advice:
      'Keep teams apart: bundles, connections, variables and pools belong to one, and only its members and admins reach them. Users join with `airlock teams add-user`.',
  }),
  execution_api_server_url: optionalText({
    readers: ['standalone', 'control', 'supervisor'],
    unit: 'URL',
    rule: HTTP_URL,
    formerly: ['workers.execution_api_server_url'],
    advice: 'Where workers find the Execution API. Unset: the base URL with /execution/.',
  }),
};
