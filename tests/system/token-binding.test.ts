/** A whole installation under each setting of `[execution_api] token_binding`: tasks run, and the health answer says which it is. */
import assert from 'node:assert/strict';
import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import { test } from 'node:test';
import { refusedStart, runDag, startStandalone } from '../kit/standalone.ts';
import { tempHome } from '../kit/temp-home.ts';

const dags = {
  'two.ts': `import { dag } from '@airlock/sdk';
export default dag('two', { schedule: null, startDate: '2026-01-01' }, (d) => {
  const one = d.task('one', { run: async () => 20 });
  d.task('two', { run: async ({ n }: { n: number }) => n + 1 })({ n: one() });
});`,
};

for (const value of ['preferred', 'required', 'off']) {
  test(`token_binding = ${value}: a Dag runs to success, and health names the setting`, async () => {
    await using airlock = await startStandalone({ dags, env: { AIRLOCK__EXECUTION_API__TOKEN_BINDING: value } });
    const { run } = await runDag(airlock, 'two');
    assert.equal(run.state, 'success');
    const health = await fetch(`${airlock.url}/api/v2/monitor/health`);
    await health.arrayBuffer();
    assert.equal(health.headers.get('airlock-token-binding'), value);
    assert.equal(
      /token_binding is off/.test(readFileSync(join(airlock.home, 'run/standalone.log'), 'utf8')),
      value === 'off',
    );
  });
}

test('token_binding = required and command_queues: the start is refused and says why', async () => {
  using home = tempHome();
  const { status, stderr, stdout } = await refusedStart({
    home: home.path,
    env: { AIRLOCK__EXECUTION_API__TOKEN_BINDING: 'required', AIRLOCK__WORKERS__COMMAND_QUEUES: 'conf_capture' },
  });
  assert.notEqual(status, 0);
  assert.match(stderr + stdout, /token_binding is required, but .*command_queues \(conf_capture\)/);
});
