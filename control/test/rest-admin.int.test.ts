/** Variables, connections and pools: what is kept, shown, hidden, merged and refused. */
import assert from 'node:assert/strict';
import { after, before, test } from 'node:test';
import { openDatabase, sql } from '@airlock/store';
import { readConnection, readVariable } from '../src/api/secrets/stored.ts';
import { type Caller, type RestKit, restKit } from './rest-kit.ts';

let kit: RestKit;
let op: Caller;
before(async () => {
  kit = await restKit();
  op = kit.as.op;
});
after(() => kit[Symbol.asyncDispose]());

const db = () => kit.database.db;
const clear = async (key: string) => (await readVariable(db(), kit.deps.secrets, { team: null, key }))?.val;

test('a variable keeps text as it is and everything else as indented JSON, digit for digit', async () => {
  const cases: Array<[string, string, string]> = [
    ['plain', '"just text"', 'just text'],
    ['object', '{"a":[1,2.50]}', '{\n  "a": [\n    1,\n    2.5\n  ]\n}'],
    ['number', '12345678901234567890123', '12345678901234567890123'],
    ['float', '1.0', '1.0'],
    ['power', '[1e2]', '[\n  100.0\n]'],
    ['nothing', 'null', 'null'],
    ['truth', 'true', 'true'],
  ];
  for (const [key, json, stored] of cases) {
    assert.equal((await op('POST', '/variables', `{"key":"v_${key}","value":${json}}`)).status, 201);
    assert.equal(await clear(`v_${key}`), stored);
  }
  // The same in a bulk request, whichever action and place of the entity.
  const entities = (prefix: string) => cases.map(([key, json]) => `{"key":"${prefix}${key}","value":${json}}`);
  const bulk = (actions: string) => op('PATCH', '/variables', `{"actions":[${actions}]}`);
  const action = (kind: string, prefix: string) => `{"action":"${kind}","entities":[${entities(prefix)}]}`;
  const made = await bulk(`{"action":"delete","entities":["v_plain","v_truth"]},${action('create', 'b_')}`);
  assert.equal(made.body.create.success.length, cases.length, made.text);
  for (const [key] of cases) await op('PATCH', `/variables/b_${key}`, { key: `b_${key}`, value: 'former' });
  for (const again of [
    action('update', 'b_'),
    action('create', 'b_').replace('{', '{"action_on_existence":"overwrite",'),
  ]) {
    assert.equal((await bulk(again)).status, 200);
    for (const [key, , stored] of cases) assert.equal(await clear(`b_${key}`), stored, again);
    for (const [key] of cases) await op('PATCH', `/variables/b_${key}`, { key: `b_${key}`, value: 'former' });
  }
  await bulk(action('create', 'c_'));
  for (const [key, , stored] of cases) assert.equal(await clear(`c_${key}`), stored);
});

test('values are sealed in the table, and a sealed value of one row can not be opened as another', async () => {
  await op('POST', '/variables', { key: 'sealed', value: 'open sesame' });
  const [row] = await db().query<{ val: string; is_encrypted: boolean }>(
    sql`SELECT val, is_encrypted FROM variable WHERE key = 'sealed'`,
  );
  assert.ok(row!.is_encrypted && !row!.val.includes('sesame'));
  await db().query(sql`INSERT INTO variable (key, val, is_encrypted) VALUES ('stolen', ${row!.val}, true)`);
  assert.equal((await op('GET', '/variables/stolen')).status, 503);
  await db().query(sql`DELETE FROM variable WHERE key = 'stolen'`);
  assert.equal((await op('GET', '/variables/sealed')).body.value, 'open sesame'); // control
});

test('reading goes through JSON, and hides what its name says', async () => {
  await op('POST', '/variables', { key: 'cfg', value: '{"a":1,  "db_password":5, "n":{"token":["x"]}}' });
  assert.equal((await op('GET', '/variables/cfg')).body.value, '{"a": 1, "db_password": "***", "n": {"token": "***"}}');
  const made = await op('POST', '/variables', { key: 'my_secret_num', value: 12345 });
  assert.equal(made.body.value, '***');
  assert.equal(await clear('my_secret_num'), '12345'); // control: only hidden
  assert.doesNotMatch((await op('GET', '/variables?limit=100')).text, /12345"/);
});

test('keys may hold slashes, percent signs and nothing at all', async () => {
  for (const key of ['a/b', 'ü %', '']) {
    assert.equal((await op('POST', '/variables', { key, value: 'x' })).status, 201, key);
    assert.equal((await op('GET', `/variables/${encodeURIComponent(key)}`)).body.key, key);
    assert.equal((await op('DELETE', `/variables/${encodeURIComponent(key)}`)).status, 204);
    assert.equal((await op('GET', `/variables/${encodeURIComponent(key)}`)).status, 404);
  }
});

test('a variable is patched within the mask, and its key stays', async () => {
  await op('POST', '/variables', { key: 'p', value: '1', description: 'old' });
  const masked = await op('PATCH', '/variables/p?update_mask=description', {
    key: 'p',
    value: '2',
    description: 'new',
  });
  assert.deepEqual([masked.body.value, masked.body.description], ['1', 'new']);
  assert.equal((await op('PATCH', '/variables/p', { key: 'q', value: '2' })).status, 400);
  assert.equal((await op('PATCH', '/variables/p?update_mask=key', { key: 'p', value: '2' })).status, 400);
  assert.equal((await op('PATCH', '/variables/absent', { key: 'absent', value: '2' })).status, 404);
  assert.deepEqual((await op('POST', '/variables', { key: 'p', value: '3' })).body, {
    detail: 'The Variable with key: `p` already exists',
  });
});

test('a team name is refused while teams are off, and null is accepted', async () => {
  const refused = await op('POST', '/variables', { key: 't', value: '1', team_name: 'blue' });
  assert.deepEqual(refused.body.detail[0].loc, ['body', 'team_name']);
  assert.match(refused.body.detail[0].msg, /multi_team mode is disabled/);
  assert.equal((await op('POST', '/variables', { key: 't', value: '1', team_name: null })).status, 201);
});

test('lists filter, order and page, with the count of all', async () => {
  for (const key of ['list_b', 'list_a', 'list_c']) await op('POST', '/variables', { key, value: key });
  const list = async (query: string) => (await op('GET', `/variables?${query}`)).body;
  const page = await list('variable_key_pattern=list%25&order_by=-key&limit=2');
  assert.deepEqual(
    page.variables.map((row: { key: string }) => row.key),
    ['list_c', 'list_b'],
  );
  assert.equal(page.total_entries, 3);
  assert.equal((await list('variable_key_pattern=LIST_A|list_b')).total_entries, 2);
  assert.equal((await list('variable_key_prefix_pattern=list_')).total_entries, 3);
  assert.equal((await list('variable_key_prefix_pattern=LIST')).total_entries, 0);
  assert.equal((await list('variable_key_pattern=list%25&limit=0')).total_entries, 3);
  assert.equal((await list('variable_key_pattern=list%25&offset=7')).total_entries, 3);
  assert.equal((await list('variable_key_pattern=%5C')).total_entries, 0);
});

const FULL = {
  connection_id: 'c1',
  conn_type: 'postgres',
  host: 'db.example',
  login: 'joe',
  password: 'hunter2',
  schema: 'main',
  port: 5432,
  description: 'd',
  extra: '{"api_key":"zzz","mode":"fast","deep":{"password":"pw2","n":1}}',
};

test('a connection shows no secret, keeps it sealed, and gives it back to whoever is entitled', async () => {
  const made = await op('POST', '/connections', FULL);
  assert.equal(made.status, 201);
  assert.equal(made.body.password, '***');
  assert.equal(made.body.extra, '{"api_key": "***", "mode": "fast", "deep": {"password": "***", "n": 1}}');
  const [row] = await db().query(sql`SELECT * FROM connection WHERE conn_id = 'c1'`);
  assert.doesNotMatch(JSON.stringify(row), /hunter2|zzz|pw2/);
  const opened = await readConnection(db(), kit.deps.secrets, { team: null, connId: 'c1' });
  assert.deepEqual([opened?.password, JSON.parse(opened!.extra!).api_key], ['hunter2', 'zzz']);
});

test('patching a connection keeps what is sent as stars, drops what is not sent, and never clears a password', async () => {
  const patched = await op('PATCH', '/connections/c1', {
    connection_id: 'c1',
    conn_type: 'mysql',
    password: '***',
    extra: '{"api_key":"***","deep":{"password":"***","n":2},"new":3}',
  });
  assert.equal(patched.status, 200);
  const read = async () => (await readConnection(db(), kit.deps.secrets, { team: null, connId: 'c1' }))!;
  assert.equal((await read()).password, 'hunter2');
  assert.deepEqual(JSON.parse((await read()).extra!), { api_key: 'zzz', deep: { password: 'pw2', n: 2 }, new: 3 });
  for (const password of [null, '']) {
    await op('PATCH', '/connections/c1', { connection_id: 'c1', conn_type: 'mysql', password });
    assert.equal((await read()).password, 'hunter2');
  }
  await op('PATCH', '/connections/c1', { connection_id: 'c1', conn_type: 'mysql', password: 'new one' });
  assert.equal((await read()).password, 'new one');
  const masked = await op('PATCH', '/connections/c1?update_mask=host', {
    connection_id: 'c1',
    conn_type: 'x',
    host: 'h',
    port: null,
  });
  assert.deepEqual([masked.body.host, masked.body.conn_type, masked.body.port], ['h', 'mysql', 5432]);
  await op('PATCH', '/connections/c1?update_mask=extra', { connection_id: 'c1', conn_type: 'x' });
  assert.equal((await read()).extra, null);
});

test('connections that break the rules are refused, each at its field', async () => {
  const cases: Array<[object, string]> = [
    [{ connection_id: 'bad id!', conn_type: 'http' }, 'connection_id'],
    [{ connection_id: 'x'.repeat(201), conn_type: 'http' }, 'connection_id'],
    [{ connection_id: '', conn_type: 'http' }, 'connection_id'],
    [{ connection_id: 'c' }, 'conn_type'],
    [{ connection_id: 'c', conn_type: 'http', extra: 'not json' }, 'extra'],
    [{ connection_id: 'c', conn_type: 'http', extra: '[1]' }, 'extra'],
    [{ connection_id: 'c', conn_type: 'http', extra: {} }, 'extra'],
    [{ connection_id: 'c', conn_type: 'http', port: 'many' }, 'port'],
    [{ connection_id: 'c', conn_type: 'http', port: 2 ** 40 }, 'port'],
    [{ conn_type: 'http' }, 'connection_id'],
  ];
  for (const [body, field] of cases) {
    const answer = await op('POST', '/connections', body);
    assert.deepEqual([answer.status, answer.body.detail[0].loc], [422, ['body', field]], JSON.stringify(body));
  }
  assert.equal((await op('POST', '/connections', FULL)).body.detail.reason, 'Unique constraint violation');
  assert.equal((await op('PATCH', '/connections/c1', { connection_id: 'c2', conn_type: 'x' })).status, 400);
  assert.equal((await op('POST', '/connections/test', { connection_id: 'c1', conn_type: 'x' })).status, 403);
});

test('text that the database can not hold is refused, not a failure', async () => {
  const answer = await op('POST', '/variables', { key: 'nul\u0000', value: 'x' });
  assert.deepEqual([answer.status, answer.body.detail.reason], [422, 'Value rejected by database']);
});

test('a pool counts slots, and -1 has no end', async () => {
  const made = await op('POST', '/pools', { name: 'p1', slots: 3 });
  assert.deepEqual([made.status, made.body.open_slots, made.body.occupied_slots], [201, 3, 0]);
  const endless = await op('PATCH', '/pools/p1', {
    pool: 'p1',
    slots: -1,
    include_deferred: true,
    description: null,
    team_name: null,
  });
  assert.deepEqual([endless.status, endless.body.open_slots, endless.body.include_deferred], [200, -1, true]);
});

test('a pool is patched whole or not at all, and the default pool in two fields only', async () => {
  const partial = await op('PATCH', '/pools/p1', { slots: 7 });
  assert.deepEqual(
    partial.body.detail.map((item: { loc: string[] }) => item.loc),
    [['name'], ['include_deferred']],
  );
  assert.equal((await op('PATCH', '/pools/p1', { name: 'p2', slots: 7, include_deferred: false })).status, 400);
  assert.equal((await op('PATCH', '/pools/default_pool', { description: 'mine' })).status, 400);
  assert.equal(
    (await op('PATCH', '/pools/default_pool?update_mask=slots&update_mask=description', { slots: 1 })).status,
    400,
  );
  const slots = await op('PATCH', '/pools/default_pool?update_mask=slots', { slots: 129 });
  assert.deepEqual([slots.status, slots.body.slots, slots.body.name], [200, 129, 'default_pool']);
  assert.equal((await op('DELETE', '/pools/default_pool')).status, 400);
  const bulk = await op('PATCH', '/pools', { actions: [{ action: 'delete', entities: ['default_pool'] }] });
  assert.equal(bulk.body.delete.errors[0].status_code, 400);
  assert.equal((await op('GET', '/pools/default_pool')).status, 200);
});

test('bulk actions run in order, each whole or not at all, and all or none when one can not be read', async () => {
  const answer = await op('PATCH', '/variables', {
    actions: [
      {
        action: 'create',
        entities: [
          { key: 'b1', value: '1' },
          { key: 'b2', value: '2' },
        ],
      },
      {
        action: 'create',
        entities: [
          { key: 'b3', value: '3' },
          { key: 'b1', value: '9' },
        ],
      },
      {
        action: 'create',
        entities: [
          { key: 'b1', value: '7' },
          { key: 'b4', value: '4' },
        ],
        action_on_existence: 'skip',
      },
      { action: 'create', entities: [{ key: 'b2', value: '8' }], action_on_existence: 'overwrite' },
      { action: 'update', entities: [{ key: 'absent', value: '0' }] },
      { action: 'delete', entities: ['b4', 'gone'], action_on_non_existence: 'skip' },
    ],
  });
  assert.equal(answer.status, 200);
  assert.deepEqual(answer.body.create.success, ['b1', 'b2', 'b4', 'b2']);
  assert.deepEqual(answer.body.create.errors, [
    { error: "The variables with these keys: {'b1'} already exist.", status_code: 409 },
  ]);
  assert.equal(answer.body.update.errors[0].status_code, 404);
  assert.deepEqual(answer.body.delete, { success: ['b4'], errors: [] });
  assert.equal(await clear('b2'), '8');
  assert.equal(await clear('b3'), undefined);
  const unknown = await op('PATCH', '/variables', {
    actions: [
      { action: 'create', entities: [{ key: 'b9', value: '1' }] },
      { action: 'zap', entities: [] },
    ],
  });
  assert.equal(unknown.status, 422);
  assert.equal(await clear('b9'), undefined);
  assert.deepEqual((await op('PATCH', '/pools', { actions: [] })).body, { create: null, update: null, delete: null });
});

test('every change has its audit row, none of a rolled back one, and no secret in any', async () => {
  const count = async () => (await db().query<{ n: number }>(sql`SELECT count(*)::int AS n FROM event_log`))[0]!.n;
  const before = await count();
  await op('POST', '/connections', {
    connection_id: 'audited',
    conn_type: 'http',
    password: 'cleartext1',
    extra: '{"x":"cleartext2"}',
  });
  assert.equal(await count(), before + 1);
  await op('POST', '/connections', { connection_id: 'audited', conn_type: 'http' }); // 409
  assert.equal(await count(), before + 1);
  const [row] = (await op('GET', '/eventLogs?order_by=-event_log_id&limit=1')).body.event_logs;
  assert.deepEqual([row.event, row.owner], ['post_connection', 'op']);
  assert.equal(JSON.parse(row.extra).extra.x, '***');
  assert.doesNotMatch((await op('GET', '/eventLogs?limit=100')).text, /hunter2|sesame|cleartext|zzz/);
});

test('there are as many audit rows as accepted changes and refusals, over a long mixed sequence', async () => {
  const count = async () => (await db().query<{ n: number }>(sql`SELECT count(*)::int AS n FROM event_log`))[0]!.n;
  const before = await count();
  let expected = 0;
  for (let i = 0; i < 300; i++) {
    const key = `seq_${i % 7}`;
    const caller = i % 5 === 0 ? kit.as.viewer : op;
    const [method, path, body] = (
      [
        ['POST', '/variables', { key, value: i }],
        ['PATCH', `/variables/${key}`, { key, value: i }],
        ['DELETE', `/variables/${key}`, undefined],
        ['GET', `/variables/${key}`, undefined],
      ] as const
    )[(i * 7) % 4]!;
    const { status } = await caller(method, path, body);
    if (status === 403 || (status < 300 && method !== 'GET')) expected++;
  }
  assert.ok(expected > 60);
  assert.equal((await count()) - before, expected);
});

test('while the audit log can not be written, nothing can be changed', async () => {
  const owner = openDatabase({
    url: kit.database.ownerUrl,
    maxConnections: 1,
    applicationName: 'test',
    onError: () => undefined,
  });
  const writes: Array<[method: string, path: string, body?: unknown]> = [
    ['POST', '/variables', { key: 'unaudited', value: '1' }],
    ['PATCH', '/variables/plain_text', { key: 'plain_text', value: 'changed' }],
    ['DELETE', '/variables/plain_text'],
    ['PATCH', '/variables', { actions: [{ action: 'create', entities: [{ key: 'unaudited', value: '1' }] }] }],
    ['POST', '/connections', { connection_id: 'unaudited', conn_type: 'x' }],
    ['DELETE', '/connections/c1'],
    ['POST', '/pools', { name: 'unaudited', slots: 1 }],
    ['DELETE', '/pools/p1'],
  ];
  await op('POST', '/variables', { key: 'plain_text', value: 'kept' });
  const everything = async () =>
    JSON.stringify([
      await db().query(sql`SELECT key FROM variable ORDER BY 1`),
      await db().query(sql`SELECT conn_id FROM connection ORDER BY 1`),
      await db().query(sql`SELECT name FROM slot_pool ORDER BY 1`),
    ]);
  const before = await everything();
  await owner.query(sql`ALTER TABLE event_log RENAME TO event_log_away`);
  try {
    for (const [method, path, body] of writes) {
      assert.ok((await op(method, path, body)).status >= 500, path);
    }
    assert.equal(await everything(), before);
    assert.equal(await clear('plain_text'), 'kept');
  } finally {
    await owner.query(sql`ALTER TABLE event_log_away RENAME TO event_log`);
    await owner.close();
  }
  assert.equal((await op('DELETE', '/variables/plain_text')).status, 204); // control
});

test('sample connections are made once, and what is there stays', async () => {
  assert.equal((await op('POST', '/connections', { connection_id: 'aws_default', conn_type: 'mine' })).status, 201);
  for (let i = 0; i < 2; i++) {
    const answer = await op('POST', '/connections/defaults');
    assert.deepEqual([answer.status, answer.text], [204, '']);
  }
  const { total_entries: total } = (await op('GET', '/connections?connection_id_pattern=_default')).body;
  assert.ok(total > 50, `${total}`);
  assert.equal((await op('GET', '/connections/aws_default')).body.conn_type, 'mine');
  assert.equal((await op('GET', '/connections/sqlite_default')).body.conn_type, 'sqlite');
});

test('tests of connections are off, and one that nobody asked for is not found', async () => {
  const body = { connection_id: 'c1', conn_type: 'http' };
  for (const path of ['/connections/test', '/connections/enqueue-test']) {
    const { status, body: answer } = await op('POST', path, body);
    assert.equal(status, 403);
    assert.match(answer.detail, /^Testing connections is disabled/);
  }
  assert.equal((await op('GET', '/connections/enqueue-test')).status, 422);
  for (const token of ['zz', '00000000-0000-4000-8000-000000000000']) {
    const answer = await op('GET', '/connections/enqueue-test', undefined, { 'airflow-connection-test-token': token });
    assert.deepEqual([answer.status, answer.body.detail], [404, `No connection test found for token: \`${token}\``]);
  }
});
