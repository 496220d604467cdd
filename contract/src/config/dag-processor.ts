import { bool, int, list, number, optionalText } from './options.ts';
import { JSON_LIST } from './rules.ts';

export const DAG_PROCESSOR_OPTIONS = {
  dag_bundle_config_list: optionalText({
    readers: ['control'],
    unit: 'JSON',
    rule: JSON_LIST,
    severalLines: true,
    advice:
      'Sources of Dag files: a list of {"name", "classpath", "kwargs", "team_name"}. kwargs of a LocalDagBundle: "path"; of a GitDagBundle: "repo_url" (https:// or file://, without log-in), "tracking_ref", "subdir", "refresh_interval". Unset: one bundle `dags-folder` over [core] dags_folder.',
  }),
  parsing_processes: int(2, {
    readers: ['supervisor'],
    unit: 'count',
    min: 1,
    max: 64,
    advice: 'Files that are parsed at once.',
  }),
  dag_file_processor_timeout: number(50, {
    readers: ['supervisor'],
    unit: 's',
    min: 0.1,
    formerly: ['core.dag_file_processor_timeout'],
    advice: 'A parse that takes longer is killed, and reported as an import error.',
  }),
  network_bundles: list([], {
    readers: ['supervisor'],
    unit: 'names',
    advice: 'Bundles whose Dag files may use the network while they are parsed; those of all others have none.',
  }),
  disable_bundle_versioning: bool(false, {
    readers: ['supervisor'],
    advice:
      'Runs follow the newest version of their Dag also where its bundle has versions. A Python Dag that says disable_bundle_versioning itself is not asked.',
  }),
  health_check_threshold: number(30, {
    readers: ['control'],
    unit: 's',
    min: 1,
    advice: 'Age of the last heartbeat of a dag-processor that still counts as healthy.',
  }),
};
