import assert from 'node:assert/strict';
import { test } from 'node:test';
import { setImmediate as turn } from 'node:timers/promises';
import { readiness } from './readiness.ts';

/** Whether it has resolved by the next turn of the event loop. */
const settled = (promise: Promise<void>) => Promise.race([promise.then(() => true), turn(false)]);

test('who waits for a service that fails several times on its way is told when it is up', async () => {
  const service = readiness();
  service.up();
  service.down();
  const waiting = service.whenUp();
  service.down();
  service.down();
  assert.equal(await settled(waiting), false);
  service.up();
  assert.equal(await settled(waiting), true);
});

test('a service that went down is waited for anew, one that is up is not', async () => {
  const service = readiness();
  assert.equal(await settled(service.whenUp()), false);
  service.up();
  service.up();
  assert.equal(await settled(service.whenUp()), true);
  service.down();
  assert.equal(await settled(service.whenUp()), false);
});
