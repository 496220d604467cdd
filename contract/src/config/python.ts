import { bool, int, list, number, optionalText } from './options.ts';
import { BUNDLE_PATH } from './rules.ts';

export const PYTHON_OPTIONS = {
  interpreter: optionalText({
    readers: ['supervisor'],
    unit: 'path',
    advice:
      'Python with Airflow 3 that parses Python Dag files and runs their tasks: the program, or the folder of its virtual environment. Unset: the first `python3` on PATH that is a program and no script.',
  }),
  interpreters: list([], {
    readers: ['supervisor'],
    rule: BUNDLE_PATH,
    advice: 'Another Python for the bundles that are named here, such as `reports=/opt/reports/venv`.',
  }),
  template: bool(true, {
    readers: ['supervisor'],
    advice:
      'For each bundle in use one process imports Airflow, and each task and each parse is a fork of it in a sandbox of its own. Off, or where the host has no user namespaces: each imports Airflow by itself, which takes two seconds.',
  }),
  pool_size: int(1, {
    readers: ['supervisor'],
    unit: 'count',
    min: 0,
    max: 64,
    advice:
      'Interpreters that wait with Airflow imported, for tasks and for Dag files of each bundle in use, each used once. One that was forked holds a few MB of its own, any other about 100; 0 = none.',
  }),
  pool_idle_time: number(300, {
    readers: ['supervisor'],
    unit: 's',
    min: 1,
    advice: 'Time without use after which they are ended, and the template of their bundle.',
  }),
  paths: list([], {
    readers: ['supervisor'],
    unit: 'paths',
    advice:
      'Further folders that Python Dags may read, absolute: where packages live that are neither in the interpreter nor in the bundle.',
  }),
  env: list([], {
    readers: ['standalone', 'supervisor'],
    unit: 'names',
    advice:
      'Environment variables of the worker that Python tasks and Dag files see, such as AIRFLOW__LOGGING__REMOTE_LOGGING. They can read all of it: name no secret that they may not have.',
  }),
};
