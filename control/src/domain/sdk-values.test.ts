import { equal } from 'node:assert/strict';
import { test } from 'node:test';
import { sdkFields } from './sdk-values.ts';

test('a duration of whole seconds is a float, without which the Task SDK refuses it', () => {
  const lag = (seconds: number) => JSON.stringify(sdkFields({ lag: { __type: 'timedelta', __var: seconds } }));
  for (const [seconds, text] of [
    [60, '60.0'],
    [1.5, '1.5'],
  ] as const)
    equal(lag(seconds), `{"lag":{"__classname__":"datetime.timedelta","__version__":2,"__data__":${text}}}`);
});
