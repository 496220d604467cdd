import { list, optionalText } from './options.ts';

export const PYTHON_OPTIONS = {
  interpreter: optionalText({
    readers: ['supervisor'],
    unit: 'path',
    advice:
      'Python with Airflow 3 that parses Python Dag files and runs their tasks: the program, or the folder of its virtual environment. Unset: the first `python3` on PATH that is a program and no script.',
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
