/** What a web interface is told about the person in front of it. */
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { restKit } from './rest-kit.ts';

test('a person is told who he is and which pages he may open, and nobody else is told anything', async () => {
  await using kit = await restKit();
  for (const path of ['/ui/auth/me', '/ui/auth/menus']) {
    const refused = await kit.anonymous('GET', path);
    assert.deepEqual([refused.status, refused.body], [401, { detail: 'Not authenticated' }]);
    assert.equal((await kit.withToken('nonsense')('GET', path)).status, 403);
  }
  assert.deepEqual((await kit.as.viewer('GET', '/ui/auth/me')).body, { id: 'viewer', username: 'viewer' });
  const menu = async (role: 'viewer' | 'op') => (await kit.as[role]('GET', '/ui/auth/menus')).body;
  const { authorized_menu_items: all, extra_menu_items: extra } = await menu('op');
  assert.deepEqual(extra, []);
  assert.ok(all.includes('Dags') && all.includes('Variables'));
  // Every page that the menu shows can be read, and the ones that are left out can not.
  const lacking = all.filter((item: string) => item === 'Connections' || item === 'Variables');
  assert.deepEqual(
    (await menu('viewer')).authorized_menu_items,
    all.filter((item: string) => !lacking.includes(item)),
  );
  for (const [item, path] of [
    ['Connections', '/connections'],
    ['Variables', '/variables'],
    ['Pools', '/pools'],
    ['Audit Log', '/eventLogs'],
  ] as const) {
    const { authorized_menu_items: shown } = await menu('viewer');
    assert.equal((await kit.as.viewer('GET', path)).status === 200, shown.includes(item), item);
  }
});
