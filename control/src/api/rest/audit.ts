/** The `extra` of an audit row: what was asked, without what must not be kept. @see rest-api 1.13 */
import type { FastifyRequest } from 'fastify';
import { HIDDEN, type Masker } from './mask.ts';

/** What a row is about; these go into columns of their own. */
export type AuditTarget = {
  readonly dagId?: string | null;
  readonly taskId?: string | null;
  readonly runId?: string | null;
  readonly mapIndex?: number | null;
  readonly logicalDate?: string | null;
};

export type AuditOptions = {
  /** Body fields whose value is never kept, such as a variable's. */
  readonly hide?: readonly string[];
  /** Body fields that hold JSON text: their keys are kept, their values not. */
  readonly hideValues?: readonly string[];
};

const COLUMNS = ['dag_id', 'dag_run_id', 'task_id'];
const MAX_EXTRA = 64 * 1024;

function keysOnly(text: unknown): unknown {
  try {
    const value: unknown = JSON.parse(String(text));
    if (typeof value === 'object' && value !== null && !Array.isArray(value)) {
      return Object.fromEntries(Object.keys(value).map((key) => [key, HIDDEN]));
    }
  } catch {
    // Not JSON: nothing of it is kept.
  }
  return HIDDEN;
}

/** One body or entity, cleaned; lists and `actions` of bulk bodies are cleaned entity by entity. */
function clean(value: unknown, masker: Masker, options: AuditOptions): unknown {
  if (Array.isArray(value)) return value.map((item) => clean(item, masker, options));
  if (typeof value !== 'object' || value === null) return value;
  return Object.fromEntries(
    Object.entries(value).map(([key, item]) => {
      if (item === null) return [key, null];
      if (options.hide?.includes(key)) return [key, HIDDEN];
      if (options.hideValues?.includes(key)) return [key, keysOnly(item)];
      if (key === 'actions' || key === 'entities') return [key, clean(item, masker, options)];
      return [key, masker.mask(item, key)];
    }),
  );
}

/** JSON text for the row. */
export function auditExtra(
  request: FastifyRequest,
  masker: Masker,
  target: AuditTarget,
  options: AuditOptions = {},
): string {
  const params = Object.fromEntries(
    Object.entries(request.params as Record<string, string>).filter(
      ([name]) => name !== '*' && !COLUMNS.includes(name),
    ),
  );
  const query = masker.mask({ ...(request.query as Record<string, unknown>) }) as Record<string, unknown>;
  const body = request.bodyIsJson ? clean(request.body ?? {}, masker, options) : {};
  const fields = typeof body === 'object' && body !== null && !Array.isArray(body) ? body : {};
  const text = JSON.stringify({ ...params, ...query, ...fields, method: request.method });
  if (text.length <= MAX_EXTRA) return text;
  return JSON.stringify({ method: request.method, truncated: text.length, dag_id: target.dagId ?? undefined });
}
