/**
 * `npm run matrix`: every route of both APIs × every identity, as the policy tables decide; `--write` writes
 * docs/security/route-matrix.md, and without it a page that is behind the tables is an error. What the servers really answer
 * is compared with the same cells in control/test/route-matrix.int.test.ts.
 */
import { readFileSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { LOGIN_POLICY } from '../../control/src/api/auth/policy.ts';
import { EXECUTION_POLICY, type ExecutionPolicyRow, SELF_PARAMETERS } from '../../control/src/api/execution/policy.ts';
import { type PolicyRow, REST_POLICY } from '../../control/src/api/rest/policy.ts';
import { UI_POLICY } from '../../control/src/api/ui/index.ts';
import { rolePermissions } from '../../control/src/auth-managers/permissions.ts';

/**
 * What a caller meets. `yes`: let in, and the thing itself answers. `rights`: let in as far as the task's rights go, for the
 * rest 403. `password`: name and password decide, no token. `ended`: told how its try has ended, and nothing else. `ticket`: no token counts, only a join ticket with a proof.
 */
export type Cell = '401' | '403' | '404' | 'yes' | 'rights' | 'ended' | 'ticket' | 'password';
export type Matrix = ReadonlyMap<string, readonly Cell[]>;

const ROLES = ['viewer', 'user', 'op', 'admin'] as const;
/** Columns of both tables, in their order. */
export const IDENTITIES = {
  nobody: 'nobody',
  garbage: 'garbage',
  expired: 'expired',
  audience: 'other audience',
  viewer: 'viewer',
  user: 'user',
  op: 'op',
  admin: 'admin',
  foreign: 'op of another team',
  workload: 'workload',
  test: 'its connection test',
  self: 'its try',
  other: 'another try',
  ended: 'ended try',
  worker: 'worker',
  parse: 'parser',
  trigger: 'triggerer',
  waiting: 'triggerer for its waiting try',
} as const;
export type IdentityName = keyof typeof IDENTITIES;
const NAMES = Object.keys(IDENTITIES) as IdentityName[];

const permissions = rolePermissions(true);

function restCell(route: string, row: PolicyRow, who: IdentityName): Cell {
  if ('public' in row) return 'yes';
  if (who === 'nobody' || who === 'expired') return '401';
  const role = who === 'foreign' ? 'op' : ROLES.find((each) => each === who);
  // No other token than a user's is one here.
  if (role === undefined) return '403';
  const user = { name: who, role, teams: [], via: 'bearer' } as const;
  const needs = [{ resource: row.resource, method: row.method }, ...(row.also ?? [])];
  if (!needs.every((need) => permissions.isAuthorized(user, { ...need, item: null, team: null }))) return '403';
  return who === 'foreign' && namesOne(route) ? '404' : 'yes';
}

/** Whether a route is about one thing that can be a team's; the queued events of an asset are a list of what the caller may see. */
export const namesOne = (route: string): boolean =>
  /[:*]/.test(route) && !route.includes(' /config/') && route !== 'GET /assets/:asset_id/queuedEvents';

/** What a token of the Execution API is, and whose path it is sent to. */
const HELD: Partial<Record<IdentityName, { kind: string; of: (typeof SELF_PARAMETERS)[number] | null }>> = {
  workload: { kind: 'workload', of: 'task_instance_id' },
  test: { kind: 'workload', of: 'connection_test_id' },
  self: { kind: 'execution', of: 'task_instance_id' },
  other: { kind: 'execution', of: null },
  ended: { kind: 'execution', of: 'task_instance_id' },
  worker: { kind: 'worker', of: 'supervisor_id' },
  parse: { kind: 'parse', of: 'supervisor_id' },
  trigger: { kind: 'trigger', of: 'supervisor_id' },
  waiting: { kind: 'trigger', of: 'task_instance_id' },
};

/** A triggerer calls it for a try whose trigger it runs, and says so. */
const asksForTry = (row: ExecutionPolicyRow) => row.rights !== 'role' && row.rights !== 'claim';

function executionCell(route: string, row: ExecutionPolicyRow, who: IdentityName): Cell {
  if (row.tokens === 'public') return 'yes';
  if (row.tokens === 'ticket') return 'ticket';
  if (who === 'nobody') return '401';
  const held = HELD[who];
  if (!held || !(row.tokens as readonly string[]).includes(held.kind)) return '403';
  const named = SELF_PARAMETERS.find((name) => route.includes(`:${name}`));
  if (row.self === 'path' && held.of !== named) return '403';
  if (who === 'ended') return row.tellsEnded ? 'ended' : '403';
  const forTry = asksForTry(row);
  if (who === 'trigger' && forTry) return '403';
  return (held.kind !== 'execution' && !(who === 'waiting' && forTry)) || row.rights === 'own' || row.rights === 'none'
    ? 'yes'
    : 'rights';
}

function matrixOf<Row>(
  policy: Readonly<Record<string, Row>>,
  cell: (route: string, row: Row, who: IdentityName) => Cell,
) {
  return new Map(Object.entries(policy).map(([route, row]) => [route, NAMES.map((who) => cell(route, row, who))]));
}

const LOGIN_CELLS = { password: 'password', 'all-admins': '403', public: 'yes' } as const;

/** `METHOD /path` → a cell for each identity. */
export const expectedMatrix: {
  readonly rest: Matrix;
  readonly ui: Matrix;
  readonly login: Matrix;
  readonly execution: Matrix;
} = {
  rest: matrixOf(REST_POLICY, restCell),
  ui: matrixOf(UI_POLICY, restCell),
  login: matrixOf(LOGIN_POLICY, (_, row) => LOGIN_CELLS[row]),
  execution: matrixOf(EXECUTION_POLICY, executionCell),
};

const HEAD = `# Who may call which route

Made from the policy tables \`control/src/api/rest/policy.ts\` and \`control/src/api/execution/policy.ts\` by \`node tools/docs/route-matrix.ts --write\`.
\`control/test/route-matrix.int.test.ts\` sends the request of every cell to a running server, with teams on, and compares what it answers.

- **yes**: let in; what is there, or the lack of it, answers.
- **rights**: let in as far as the try's declared needs go, and for the rest the same 403 whether or not the thing exists ([promise L7](promises.md)).
- **password**: a right user name and password are let in, nothing else is; no token is looked at.
- **ended**: told how its try has ended (404 or 410; 200 for the same report again), and nothing else.
- **ticket**: no token counts; a one-time join ticket and a proof of the key that joins.
- **401**, **403**, **404**: refused so. 404 is what a thing that does not exist would give.

Identities: *garbage* is a text that is no token. *expired* and *other audience* are tokens by our own key that are otherwise right: of an administrator on the REST API, of its try on
the Execution API. *op of another team* asks for a thing of a team that is not his: a Dag, variable, connection, pool, asset, backfill, import error or audit row. *Ended try* has failed and will be tried again. *Workload*, *its connection test*, *its try* and *ended try* call the route with their own id in the path, *another try* with somebody else's;
*Triggerer* names no try; *triggerer for its waiting try* names one that is deferred and whose trigger it runs, and calls the route with that id in the path;
all of them, and *worker* and *parser*, prove possession of their key on the Execution API, and send their token as a plain bearer to the REST API.
`;

function table(title: string, matrix: Matrix): string {
  const rows = [...matrix].map(([route, cells]) => `| \`${route}\` | ${cells.join(' | ')} |`);
  const head = `| Route | ${NAMES.map((who) => IDENTITIES[who]).join(' | ')} |\n|---|${'---|'.repeat(NAMES.length)}`;
  const cells = matrix.size * NAMES.length;
  return `## ${title}\n\n${matrix.size} routes × ${NAMES.length} identities = ${cells} cells.\n\n${head}\n${rows.join('\n')}\n`;
}

/** The whole page. Pure. */
export function routeMatrixPage(): string {
  return [
    HEAD,
    table('REST API, below `/api/v2`', expectedMatrix.rest),
    table('Log-in', expectedMatrix.login),
    table('For the web page, below `/ui`', expectedMatrix.ui),
    table('Execution API, below `/execution`', expectedMatrix.execution),
  ].join('\n');
}

if (process.argv[1] === import.meta.filename) {
  const file = join(import.meta.dirname, '../../docs/security/route-matrix.md');
  const page = routeMatrixPage();
  if (process.argv.includes('--write')) writeFileSync(file, page);
  else if (readFileSync(file, 'utf8') !== page) {
    console.error('docs/security/route-matrix.md is behind the policy tables: npm run matrix -- --write');
    process.exitCode = 1;
  }
}
