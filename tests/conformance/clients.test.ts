import assert from 'node:assert/strict';
import { test } from 'node:test';
import { findPython } from '../kit/airflow-venv.ts';
import { readPassing, readReport, runSuite } from './suite.ts';

test('a report of pytest is read with names, parameters and outcomes', () => {
  // The comparison below is worth nothing if a failure could be read as a pass.
  const xml = `<testsuites><testsuite><testcase classname="test_auth" name="test_a[x&gt;1]" time="0.1" />
    <testcase classname="test_auth" name="test_b" time="0.1"><failure message="no">text</failure></testcase>
    <testcase classname="test_rest.TestPools" name="test_c" time="0.1"><skipped type="pytest.skip" message="later">x</skipped></testcase>
    <testcase classname="test_rest" name="test_d" time="0.1"><error message="boom">x</error></testcase></testsuite></testsuites>`;
  assert.deepEqual(Object.fromEntries(readReport(xml)), {
    'test_auth.py::test_a[x>1]': 'passed',
    'test_auth.py::test_b': 'failed',
    'test_rest.py::TestPools::test_c': 'skipped',
    'test_rest.py::test_d': 'failed',
  });
});

const python = findPython();
test("Airflow's own clients still find what they found", {
  skip: python === null ? 'needs python3.11' : false,
}, async () => {
  const expected = readPassing();
  assert.ok(expected.length > 0, 'passing.txt names no test: there is nothing to check');
  let shown = '';
  const { outcomes } = await runSuite(python!, expected, (text) => (shown += text));
  const lost = expected.filter((id) => outcomes.get(id) !== 'passed');
  assert.deepEqual(lost, [], shown.slice(-20_000));
});
