/** GET /config: off by default, and no secret in any form of its answer. */
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { SECTIONS } from '@airlock/contract/config/index';
import { restKit } from './rest-kit.ts';

const FERNET = Buffer.alloc(32, 9).toString('base64url');
const EXPOSED = {
  AIRLOCK__API__EXPOSE_CONFIG: 'True',
  AIRLOCK__CORE__FERNET_KEY: FERNET,
  AIRLOCK__WORKERS__QUEUES: 'a, b',
};
const PATHS = ['/config', '/config?section=core', '/config/section/core/option/parallelism'];

test('by default nobody is shown the configuration, an administrator neither', async () => {
  await using kit = await restKit();
  for (const path of PATHS) {
    for (const role of ['viewer', 'op', 'admin'] as const) {
      const { status, body } = await kit.as[role]('GET', path);
      assert.equal(status, 403, `${role} ${path}`);
      assert.match(body.detail, /chose not to expose the configuration/);
    }
    assert.equal((await kit.anonymous('GET', path)).status, 401);
  }
});

test('exposed, it shows every option as text, and a secret only as hidden; one that is not set as empty', async () => {
  for (const mode of ['True', 'non-sensitive-only']) {
    await using kit = await restKit({ config: { ...EXPOSED, AIRLOCK__API__EXPOSE_CONFIG: mode } });
    const { status, body, text } = await kit.as.admin('GET', '/config');
    assert.equal(status, 200);
    assert.ok(!text.includes(FERNET));
    const shown = new Map<string, string>();
    for (const { name, options } of body.sections)
      for (const { key, value } of options) shown.set(`${name}.${key}`, value);
    const known = Object.entries(SECTIONS).flatMap(([name, table]) =>
      Object.keys(table).map((key) => `${name}.${key}`),
    );
    assert.deepEqual([...shown.keys()], known);
    assert.equal(shown.get('core.fernet_key'), '< hidden >');
    assert.equal(shown.get('database.sql_alchemy_conn'), '');
    assert.equal(shown.get('workers.queues'), 'a, b');
    assert.equal(shown.get('core.parallelism'), '32');
    assert.equal(shown.get('core.load_examples'), 'True');
    assert.equal((await kit.anonymous('GET', '/config')).status, 401, 'still only for people who are logged in');
  }
});

test('one section, one option, as text, and what is not there', async () => {
  await using kit = await restKit({ config: EXPOSED });
  const ask = kit.as.admin;
  const section = await ask('GET', '/config?section=core');
  assert.deepEqual(
    section.body.sections.map(({ name }: { name: string }) => name),
    ['core'],
  );
  const one = await ask('GET', '/config/section/core/option/fernet_key');
  assert.deepEqual(one.body, { sections: [{ name: 'core', options: [{ key: 'fernet_key', value: '< hidden >' }] }] });
  const text = await ask('GET', '/config', undefined, { accept: 'text/plain' });
  assert.match(text.headers.get('content-type')!, /^text\/plain/);
  assert.match(text.text, /^\[core\]\n[\s\S]*\nfernet_key = < hidden >\n[\s\S]*\n\[api\]\n/);
  assert.ok(!text.text.includes(FERNET));
  assert.equal((await ask('GET', '/config', undefined, { accept: 'image/png' })).status, 406);
  for (const name of ['nope', '__proto__', 'constructor']) {
    const missing = await ask('GET', `/config?section=${name}`);
    assert.equal(missing.status, 404);
    assert.equal(missing.body.detail, `Section ${name} not found.`);
    const option = await ask('GET', `/config/section/core/option/${name}`);
    assert.equal(option.status, 404);
    assert.equal(option.body.detail, `Option [core/${name}] not found.`);
    assert.equal((await ask('GET', `/config/section/${name}/option/parallelism`)).status, 404);
  }
});
