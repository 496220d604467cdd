/**
 * `node tests/conformance/run.ts`: the tests of passing.txt. `--all`: every test of the suite; `--update` adds what passes
 * now to the list. Further arguments go to pytest: `node tests/conformance/run.ts -- -k pools -x`.
 */
import { appendFileSync } from 'node:fs';
import { join } from 'node:path';
import { parseArgs } from 'node:util';
import { findPython } from '../kit/airflow-venv.ts';
import { readPassing, runSuite } from './suite.ts';

const { values, positionals } = parseArgs({
  allowPositionals: true,
  options: { all: { type: 'boolean', default: false }, update: { type: 'boolean', default: false } },
});
const python = findPython();
if (python === null) {
  console.log('skipped: needs python3.11');
} else {
  const expected = readPassing();
  const selection = positionals.length > 0 ? positionals : values.all || values.update ? [] : expected;
  const { outcomes } = await runSuite(python, selection, (text) => process.stdout.write(text));
  const lost = positionals.length > 0 ? [] : expected.filter((id) => outcomes.get(id) !== 'passed');
  const gained = [...outcomes]
    .filter(([id, outcome]) => outcome === 'passed' && !expected.includes(id))
    .map(([id]) => id);
  for (const id of lost) console.log(`no longer passes: ${id} (${outcomes.get(id) ?? 'not run'})`);
  if (gained.length > 0)
    console.log(
      `${gained.length} pass that passing.txt does not name yet${values.update ? '; added' : '; add them with --update'}`,
    );
  if (values.update)
    appendFileSync(
      join(import.meta.dirname, 'passing.txt'),
      gained
        .sort()
        .map((id) => `${id}\n`)
        .join(''),
    );
  const count = (outcome: string) => [...outcomes.values()].filter((each) => each === outcome).length;
  console.log(
    `${count('passed')} passed, ${count('failed')} failed, ${count('skipped')} skipped; ${lost.length} of the ${expected.length} expected are missing`,
  );
  process.exitCode = lost.length === 0 ? 0 : 1;
}
