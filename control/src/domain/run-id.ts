/** Names of runs. @see scheduling semantics 1.4; REST 5.1 */
import { AppError } from '@airlock/contract/errors';
import { DAG_RUN_TYPES, type DagRunType } from '@airlock/contract/states';

const MAX_RUN_ID = 250;
/** `[scheduler] allowed_run_id_pattern`'s default. */
export const RUN_ID_PATTERN = '^[A-Za-z0-9_.~:+-]+$';
const GENERATED_PATTERN = String.raw`^(?:manual|scheduled|asset_triggered)__(?:\d{4}-\d{2}-\d{2}T\d{2}:\d{2}:\d{2}\+00:00)$`;

/** An instant as Python prints it in ISO form: offset `+00:00`, microseconds only when there are any. */
export function pythonIso(instant: string): string {
  const date = new Date(instant);
  const fraction = /\.(\d+)/.exec(instant)?.[1] ?? '';
  const micros = fraction.padEnd(6, '0').slice(0, 6);
  return `${date.toISOString().slice(0, 19)}${Number(micros) > 0 ? `.${micros}` : ''}+00:00`;
}

/** The instant so many microseconds later, with six digits after the second. */
export function laterByMicros(instant: string, micros: number): string {
  if (micros === 0) return instant;
  const fraction = Number((/\.(\d+)/.exec(instant)?.[1] ?? '').padEnd(6, '0').slice(0, 6)) + micros;
  const seconds = Math.floor(Date.parse(instant) / 1000) + Math.floor(fraction / 1_000_000);
  return `${new Date(seconds * 1000).toISOString().slice(0, 19)}.${String(fraction % 1_000_000).padStart(6, '0')}Z`;
}

/** `<type>__<run after>`, and `__`-joined random letters where several runs may share an instant. */
export function generateRunId(type: DagRunType, runAfter: string, suffix?: string): string {
  return `${type}__${pythonIso(runAfter)}${suffix === undefined ? '' : `_${suffix}`}`;
}

/** As above for a schedule of partitions: its runs may share instants, and say which partition is theirs if there is room. */
export function generatePartitionRunId(type: DagRunType, runAfter: string, key: string | null, suffix: string): string {
  const full = [type, pythonIso(runAfter), ...(key === null ? [] : [key]), suffix].join('__');
  return full.length <= MAX_RUN_ID ? full : [type, pythonIso(runAfter), suffix].join('__');
}

export type RunIdRules = { readonly pattern: string; readonly allowDoubleDots: boolean };

/** @throws BAD_REQUEST with Airflow's text */
export function checkRunId(runId: string, type: DagRunType, rules: RunIdRules): void {
  const refuse = (text: string): never => {
    throw new AppError('BAD_REQUEST', { public: text });
  };
  if (!rules.allowDoubleDots && runId.includes('..')) {
    refuse(`The run_id '${runId}' must not contain '..' to prevent path traversal`);
  }
  if (!new RegExp(rules.pattern).test(runId) && !new RegExp(GENERATED_PATTERN).test(runId)) {
    refuse(`The run_id provided '${runId}' does not match regex pattern '${rules.pattern}' or '${GENERATED_PATTERN}'`);
  }
  if (runId.length > MAX_RUN_ID)
    refuse(`The run_id provided '${runId.slice(0, 50)}…' is longer than ${MAX_RUN_ID} characters`);
  // `manual__` is what older clients call the runs that an operator triggers.
  const reserved = DAG_RUN_TYPES.find((other) => ![type, 'manual'].includes(other) && runId.startsWith(`${other}__`));
  if (reserved) refuse(`A ${type} DAG run cannot use ID '${runId}' since it is reserved for ${reserved} runs`);
}
