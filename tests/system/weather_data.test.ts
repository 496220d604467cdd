import assert from 'node:assert/strict';
import { readFileSync, realpathSync } from 'node:fs';
import { join } from 'node:path';
import { test } from 'node:test';
import { repositoryRoot } from '../kit/standalone.ts';

test('the weather data of the example is that of the npm package, byte for byte', () => {
  const examples = join(repositoryRoot, 'examples');
  const original = readFileSync(
    join(realpathSync(join(examples, 'node_modules/vega-datasets')), 'data/seattle-weather.csv'),
  );
  const copy = readFileSync(join(examples, 'data/seattle-weather.csv'));
  assert.ok(original.length > 40_000);
  assert.ok(copy.equals(original));
});
