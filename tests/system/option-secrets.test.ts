/**
 * Options that a secrets back end holds, in real processes: who may ask gets the value, who must not refuses to start, and
 * what the back end refuses, lacks or can't say ends the start. The back end is a stand-in; see tests/kit/vault.ts.
 */
import assert from 'node:assert/strict';
import { spawn } from 'node:child_process';
import { randomBytes } from 'node:crypto';
import { join } from 'node:path';
import { test } from 'node:test';
import { repositoryRoot } from '../kit/standalone.ts';
import { tempHome } from '../kit/temp-home.ts';
import { startVaultDouble } from '../kit/vault.ts';

const CANNOT_START = 2;
const PLANTED = `planted-${randomBytes(6).toString('hex')}`;

async function start(words: readonly string[], env: Record<string, string>) {
  using home = tempHome();
  const child = spawn(process.execPath, [join(repositoryRoot, 'cli/bin/airlock'), ...words], {
    env: { PATH: process.env.PATH, HOME: home.path, AIRLOCK_HOME: home.path, ...env },
    stdio: ['ignore', 'pipe', 'pipe'],
  });
  let said = '';
  for (const stream of [child.stdout, child.stderr])
    stream.setEncoding('utf8').on('data', (text: string) => (said += text));
  const late = setTimeout(() => child.kill('SIGKILL'), 60_000);
  const status = await new Promise<number | null>((resolve) => child.once('close', resolve));
  clearTimeout(late);
  return { status, said };
}

async function vaultWith(secrets: Record<string, string>) {
  const vault = await startVaultDouble();
  vault.tokens.set('t', { paths: ['secret/config'] });
  vault.tokens.set('narrow', { paths: ['secret/variables'] });
  for (const [name, value] of Object.entries(secrets)) vault.secrets.set(`secret/config/${name}`, { value });
  const env = (token = 't') => ({
    AIRFLOW__SECRETS__BACKEND: 'airflow.providers.hashicorp.secrets.vault.VaultBackend',
    AIRFLOW__SECRETS__BACKEND_KWARGS: JSON.stringify({ url: vault.url, token }),
    AIRFLOW__CORE__FERNET_KEY_SECRET: 'key',
    AIRFLOW__DATABASE__SQL_ALCHEMY_CONN_SECRET: 'url',
  });
  return Object.assign(vault, { env });
}
const KEY = randomBytes(32).toString('base64url');
const NOWHERE = 'postgresql://nobody:x@127.0.0.1:1/none';

for (const words of [['standalone'], ['api-server'], ['scheduler']]) {
  test(`airlock ${words[0]} takes the values that the back end holds, and asks for each once`, async () => {
    await using vault = await vaultWith({ key: KEY, url: NOWHERE });
    const { status, said } = await start(words, vault.env());
    // It got as far as the database of that address, or the signer before it.
    assert.doesNotMatch(said, /CONFIG_INVALID|SECRETS_/);
    assert.notEqual(status, 0);
    assert.equal(vault.seen.filter((line) => /config\/(key|url)$/.test(line)).length, 2, vault.seen.join('\n'));
    assert.ok(!said.includes(KEY) && !said.includes('nobody:x'), said);
  });

  test(`airlock ${words[0]} says what is wrong with a value of the back end without showing it`, async () => {
    await using vault = await vaultWith({ key: PLANTED, url: NOWHERE });
    const { status, said } = await start(words, vault.env());
    assert.equal(status, CANNOT_START, said);
    assert.match(said, /\[core\] fernet_key .*from the secret of AIRFLOW__CORE__FERNET_KEY_SECRET/);
    assert.ok(!said.includes(PLANTED), said);
  });
}

test('what the back end lacks, refuses or can not say ends the start, each in its own words', async () => {
  await using vault = await vaultWith({ url: NOWHERE });
  const lacks = await start(['api-server'], vault.env());
  assert.equal(lacks.status, CANNOT_START, lacks.said);
  assert.match(lacks.said, /CONFIG_INVALID: .*\[core\] fernet_key .*nothing of that name/);
  const refused = await start(['api-server'], vault.env('narrow'));
  assert.equal(refused.status, CANNOT_START, refused.said);
  assert.match(refused.said, /SECRETS_REFUSED/);
  vault.override = (_request, response) => response.writeHead(500).end();
  const broken = await start(['api-server'], vault.env());
  assert.equal(broken.status, CANNOT_START, broken.said);
  assert.match(broken.said, /SECRETS_UNAVAILABLE/);
});

test('without a back end such an option is refused', async () => {
  const { status, said } = await start(['api-server'], { AIRFLOW__CORE__FERNET_KEY_SECRET: 'key' });
  assert.equal(status, CANNOT_START, said);
  assert.match(said, /CONFIG_INVALID: An option is set by _SECRET, and \[secrets\] backend names nobody to ask/);
});

test('a process that must not hold the value never asks: migration, signer and worker refuse', async () => {
  await using vault = await vaultWith({ key: KEY, url: NOWHERE });
  for (const words of [['db', 'migrate'], ['token-service'], ['worker']]) {
    const { AIRFLOW__SECRETS__BACKEND_KWARGS: _, ...without } = vault.env();
    const { status, said } = await start(words, without);
    assert.equal(status, CANNOT_START, said);
    assert.match(said, /CONFIG_INVALID/);
  }
  assert.deepEqual(vault.seen, []);
});

test('config list asks nobody, and says where the value will come from', async () => {
  await using vault = await vaultWith({ key: KEY, url: NOWHERE });
  const { status, said } = await start(['config', 'list', '--changed'], vault.env());
  assert.equal(status, 0, said);
  assert.match(said, /AIRFLOW__CORE__FERNET_KEY_SECRET, asked at the start/);
  assert.deepEqual(vault.seen, []);
});
