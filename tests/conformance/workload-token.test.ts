/** Tokens that Airflow's own code has made and signed, judged by our verifier: workloads of trusted keys count, the rest does not. */
import assert from 'node:assert/strict';
import { spawnSync } from 'node:child_process';
import { join } from 'node:path';
import { test } from 'node:test';
import { createVerifier, readKeySet } from '../../token-verify/src/index.ts';
import { airflowVenv, ensureVenv, findPython, withoutPython } from '../kit/airflow-venv.ts';
import { tempHome } from '../kit/temp-home.ts';

type Made = { token: string; execution: string; subject: string; jwk: object };

for (const kind of ['ed25519', 'rsa']) {
  test(`a workload token that Airflow signs with a key of kind ${kind} counts where it is asked for, nowhere else`, {
    skip: withoutPython,
  }, async () => {
    ensureVenv(findPython()!);
    using home = tempHome();
    const python = spawnSync(join(airflowVenv, 'bin/python'), [join(import.meta.dirname, 'workload_token.py'), kind], {
      encoding: 'utf8',
      env: { AIRFLOW_HOME: home.path, PATH: process.env.PATH ?? '' },
    });
    assert.equal(python.status, 0, python.stderr);
    const made = JSON.parse(python.stdout.trim().split('\n').at(-1)!) as Made;
    const common = {
      keys: { keys: [] },
      trusted: readKeySet({ keys: [made.jwk] }, 'RS256'),
      userAudience: 'rest',
      leewaySeconds: 10,
    };
    const on = createVerifier({ ...common, airflowWorkloads: true });
    const claims = await on.verify('workload', made.token, Date.now());
    assert.deepEqual([claims.sub, claims.scope], [made.subject, 'workload']);
    const refused = { code: 'TOKEN_INVALID' };
    await assert.rejects(createVerifier(common).verify('workload', made.token, Date.now()), refused);
    await assert.rejects(on.verify('workload', made.execution, Date.now()), refused);
    await assert.rejects(on.verify('execution', made.execution, Date.now()), refused);
    const signed = made.token.split('.');
    await assert.rejects(on.verify('workload', [signed[0], signed[1], 'A'.repeat(86)].join('.'), Date.now()), refused);
  });
}
