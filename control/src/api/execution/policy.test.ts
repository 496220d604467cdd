import assert from 'node:assert/strict';
import test from 'node:test';
import { allowedMethods } from './not-found.ts';
import { checkExecutionPolicy, EXECUTION_POLICY } from './policy.ts';
import { EXECUTION_ROUTES } from './routes.ts';
import { NEWEST_VERSION } from './version.ts';

test('every route has one policy row and every row one route', () => {
  checkExecutionPolicy(EXECUTION_ROUTES);
  assert.equal(Object.keys(EXECUTION_ROUTES).length, Object.keys(EXECUTION_POLICY).length);
});

test('a route without a row, and a row without a route, stop the start and are named', () => {
  const { 'GET /variables/*': _, ...less } = EXECUTION_ROUTES;
  assert.throws(() => checkExecutionPolicy(less), /Rows without a handler: GET \/variables\/\*\./);
  assert.throws(
    () => checkExecutionPolicy({ ...EXECUTION_ROUTES, 'GET /secret': {} }),
    /Handlers without a row: GET \/secret\./,
  );
  const { 'GET /connections/:conn_id': __, ...fewer } = EXECUTION_POLICY;
  assert.throws(
    () => checkExecutionPolicy(EXECUTION_ROUTES, fewer),
    /Handlers without a row: GET \/connections\/:conn_id\./,
  );
});

test('nothing is open but health and joining, and joining needs a key', () => {
  const open = Object.entries(EXECUTION_POLICY).filter(([, row]) => !Array.isArray(row.tokens));
  assert.deepEqual(
    open.map(([name, row]) => [name, row.tokens]),
    [
      ['GET /health', 'public'],
      ['GET /health/ping', 'public'],
      ['POST /supervisors', 'ticket'],
    ],
  );
});

test('a route with an id in its path checks that it is the caller’s, unless it says what else decides', () => {
  for (const [name, row] of Object.entries(EXECUTION_POLICY)) {
    const hasId = /:(task_instance_id|supervisor_id|connection_test_id|callback_id|trigger_id|question_id)/.test(name);
    assert.equal(row.self === 'path' || row.rights === 'claim', hasId, name);
  }
});

test('the workload token opens /run, of a try or a callback, or, of a connection test, that test, and nothing else; user tokens open nothing', () => {
  const opens = (kind: string) =>
    Object.entries(EXECUTION_POLICY).filter(
      ([, row]) => Array.isArray(row.tokens) && (row.tokens as readonly string[]).includes(kind),
    );
  assert.deepEqual(
    opens('workload').map(([name]) => name),
    [
      'PATCH /task-instances/:task_instance_id/run',
      'GET /connection-tests/:connection_test_id/connection',
      'PATCH /connection-tests/:connection_test_id',
      'PATCH /callbacks/:callback_id/run',
    ],
  );
  assert.deepEqual(opens('user'), []);
});

test('an honest start, heartbeat or report costs nothing, and every other call of a token something', () => {
  for (const [name, row] of Object.entries(EXECUTION_POLICY)) {
    const free = /^P.*\/(run|state|heartbeat|claim|exit)$/.test(name) || !Array.isArray(row.tokens);
    assert.equal(row.cost === 0, free, name);
  }
});

test('methods of a path are known without its handler', () => {
  assert.deepEqual(allowedMethods('/execution/variables/a/b?x=1', NEWEST_VERSION), ['GET', 'PUT', 'DELETE']);
  assert.deepEqual(allowedMethods('/execution/xcoms/d/r/t/k', NEWEST_VERSION), ['GET', 'HEAD', 'POST', 'DELETE']);
  assert.deepEqual(allowedMethods('/execution/health', NEWEST_VERSION), ['GET']);
  assert.deepEqual(allowedMethods('/execution/connections/a/b', NEWEST_VERSION), []);
  assert.deepEqual(allowedMethods('/execution/variables/', NEWEST_VERSION), []);
});
