// A refusal and a failure of the back end are never the same as "absent": only what is absent may be looked for elsewhere.
import assert from 'node:assert/strict';
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import test from 'node:test';
import { isAppError } from '@airlock/contract/errors';
import { startVaultDouble, type VaultDouble } from '../../tests/kit/vault.ts';
import { openSecretBackend, type SecretBackend } from '../src/index.ts';

const code = (expected: string) => (error: unknown) => isAppError(error) && error.code === expected;
const clock = { ms: 1_000_000 };

function open(
  vault: Pick<VaultDouble, 'url'>,
  args: Record<string, unknown> = {},
  more: { multiTeam?: boolean; cacheMs?: number } = {},
): SecretBackend & Disposable {
  const backend = openSecretBackend({
    backend: 'airflow.providers.hashicorp.secrets.vault.VaultBackend',
    backend_kwargs: JSON.stringify({ url: vault.url, token: 't', ...args }),
    multiTeam: more.multiTeam ?? false,
    cacheMs: more.cacheMs ?? 0,
    nowMs: () => clock.ms,
  })!;
  return { ...backend, [Symbol.dispose]: backend.close };
}

async function filled(options: Parameters<typeof startVaultDouble>[0] = {}) {
  const vault = await startVaultDouble(options);
  const mount = options.mount ?? 'secret';
  vault.tokens.set('t', { paths: [`${mount}/connections`, `${mount}/variables`, `${mount}/config`] });
  vault.secrets.set(`${mount}/variables/region`, { value: 'eu' });
  vault.secrets.set(`${mount}/variables/deep/name`, { value: 'deep' });
  vault.secrets.set(`${mount}/variables/object`, { value: { a: 1 } });
  vault.secrets.set(`${mount}/variables/gone`, null);
  vault.secrets.set(`${mount}/connections/db`, { conn_uri: 'postgres://u:p@h:5432/s' });
  vault.secrets.set(`${mount}/connections/fields`, { conn_type: 'http', host: 'x', extra: { a: 1 } });
  vault.secrets.set(`${mount}/connections/broken`, { host: 'S3CRET' });
  vault.secrets.set(`${mount}/config/sql`, { value: 'postgresql://x' });
  return vault;
}

for (const kvVersion of [1, 2] as const) {
  test(`version ${kvVersion}: variables, connections and options are found at Airflow's paths; what is not there is absent`, async () => {
    await using vault = await filled({ kvVersion, mount: 'airflow' });
    using backend = open(vault, { mount_point: 'airflow', kv_engine_version: kvVersion });
    assert.equal(await backend.variable('region', null), 'eu');
    assert.equal(await backend.variable('deep/name', null), 'deep');
    assert.equal(await backend.variable('object', null), '{"a":1}');
    assert.equal(await backend.config('sql'), 'postgresql://x');
    assert.deepEqual(await backend.connection('db', null), {
      conn_type: 'postgres',
      description: null,
      host: 'h',
      login: 'u',
      password: 'p',
      schema: 's',
      port: 5432,
      extra: null,
    });
    assert.equal((await backend.connection('fields', null))?.extra, '{"a":1}');
    for (const name of ['absent', 'gone']) assert.equal(await backend.variable(name, null), null, name);
    assert.equal(await backend.connection('absent', null), null);
  });
}

test('a refusal is a refusal, of a path as of a token; the same token reads what it may', async () => {
  await using vault = await filled();
  vault.tokens.set('narrow', { paths: ['secret/variables/region'] });
  using narrow = open(vault, { token: 'narrow' });
  using nobody = open(vault, { token: 'nobody' });
  await assert.rejects(narrow.variable('absent', null), code('SECRETS_REFUSED'));
  await assert.rejects(narrow.connection('db', null), code('SECRETS_REFUSED'));
  await assert.rejects(nobody.variable('region', null), code('SECRETS_REFUSED'));
  assert.equal(await narrow.variable('region', null), 'eu');
});

test('sealed, broken, redirecting, endless, silent, gone: an error in time, and never absent', async () => {
  await using vault = await filled();
  using backend = open(vault, { timeout: 0.5 });
  assert.equal(await backend.variable('region', null), 'eu');
  const answers: Record<string, NonNullable<VaultDouble['override']>> = {
    sealed: (_, response) => response.writeHead(503).end('{"errors":["Vault is sealed"]}'),
    'no JSON': (_, response) => response.writeHead(200).end('<html>'),
    'another shape': (_, response) => response.writeHead(200).end('{"data":{"data":"S3CRET"}}'),
    redirect: (_, response) => response.writeHead(307, { location: 'http://127.0.0.1:1/' }).end(),
    'no content': (_, response) => response.writeHead(204).end(),
    'too large': (_, response) =>
      response.writeHead(200).end(`{"data":{"data":{"value":"${'x'.repeat(1024 * 1024)}"}}}`),
    silent: () => undefined,
    'cut off': (request) => request.socket.destroy(),
  };
  for (const [what, override] of Object.entries(answers)) {
    vault.override = override;
    await assert.rejects(backend.variable('region', null), code('SECRETS_UNAVAILABLE'), what);
  }
  vault.override = null;
  assert.equal(await backend.variable('region', null), 'eu');
  await assert.rejects(backend.connection('broken', null), (error) => {
    assert.doesNotMatch(JSON.stringify(error) + String(error), /S3CRET/);
    return code('SECRETS_UNAVAILABLE')(error);
  });
  using away = open({ url: 'http://127.0.0.1:1' });
  await assert.rejects(away.variable('region', null), code('SECRETS_UNAVAILABLE'));
});

test('one passing failure is not noticed', async () => {
  await using vault = await filled();
  using backend = open(vault);
  vault.override = (_, response) => {
    vault.override = null;
    response.writeHead(412).end('{"errors":["required index state not present"]}');
  };
  assert.equal(await backend.variable('region', null), 'eu');
});

test('no name leads out of its folder', async () => {
  await using vault = await filled();
  vault.tokens.set('t', { paths: ['secret/'] });
  vault.secrets.set('secret/other', { value: 'S3CRET' });
  vault.secrets.set('secret/variables/a?b#c%2f..', { value: 'odd' });
  using backend = open(vault);
  const before = vault.seen.length;
  for (const name of ['../other', 'x/../../other', './region', '', '/', 'a//b', 'a/', '..', 'a\nb'])
    assert.equal(await backend.variable(name, null), null, JSON.stringify(name));
  assert.equal(vault.seen.length, before, 'nothing was asked');
  assert.equal(await backend.variable('a?b#c%2f..', null), 'odd', 'odd characters are a name like any other');
  assert.equal(await backend.variable('%2e%2e%2fother', null), null);
});

test('a team reads in its own folder alone, and who has none reaches into none', async () => {
  await using vault = await filled();
  vault.secrets.set('secret/variables/etl/region', { value: 'etl' });
  using backend = open(vault, {}, { multiTeam: true });
  assert.equal(await backend.variable('region', 'etl'), 'etl');
  assert.equal(await backend.variable('region', 'ml'), null);
  assert.equal(await backend.variable('region', null), 'eu');
  assert.equal(await backend.variable('etl/region', null), null);
  using shared = open(vault, { use_team_secrets_path: false }, { multiTeam: true });
  assert.equal(await shared.variable('region', 'etl'), 'eu');
});

test('several paths are tried in order; none means that such names are not asked for', async () => {
  await using vault = await filled();
  using several = open(vault, { variables_path: ['config', 'variables'] });
  assert.equal(await several.variable('region', null), 'eu');
  assert.equal(await several.variable('sql', null), 'postgresql://x');
  using none = open(vault, { variables_path: null });
  const before = vault.seen.length;
  assert.equal(await none.variable('region', null), null);
  assert.equal(vault.seen.length, before);
  using first = open(vault, { mount_point: null });
  assert.equal(await first.variable('secret/region', null), 'eu', 'the name says where it is mounted');
  assert.equal(await first.variable('region', null), null);
});

test('log-ins: once for many look-ups, again before the lease ends and after a token was withdrawn, not for each refusal', async () => {
  await using vault = await filled();
  const paths = ['secret/variables'];
  vault.logins.set('auth/approle/login', (body) =>
    body.role_id === 'r' && body.secret_id === 's' ? { paths, leaseSeconds: 600 } : null,
  );
  const args = { token: null, auth_type: 'approle', role_id: 'r', secret_id: 's' };
  using backend = open(vault, args);
  const logins = () => vault.seen.filter((line) => line.startsWith('POST')).length;
  const many = Array.from({ length: 50 }, (_, n) => backend.variable(n % 2 ? 'region' : `absent${n}`, null));
  assert.equal((await Promise.all(many)).filter((value) => value === 'eu').length, 25);
  assert.equal(logins(), 1);
  for (let n = 0; n < 5; n++) await assert.rejects(backend.connection('db', null), code('SECRETS_REFUSED'));
  assert.equal(logins(), 1, 'a refusal of a young token is a refusal');
  clock.ms += 31_000;
  vault.tokens.clear();
  assert.equal(await backend.variable('region', null), 'eu', 'the token was withdrawn');
  assert.equal(logins(), 2);
  clock.ms += 400_000;
  assert.equal(await backend.variable('region', null), 'eu', 'two thirds of the lease are over');
  assert.equal(logins(), 3);
  using wrong = open(vault, { ...args, secret_id: 'S3CRET' });
  await assert.rejects(wrong.variable('region', null), code('SECRETS_UNAVAILABLE'));
});

test('a token in a file is read at the log-in, and read again when it was replaced', async () => {
  await using vault = await filled();
  const folder = mkdtempSync(join(tmpdir(), 'vault-'));
  try {
    const file = join(folder, 'jwt');
    writeFileSync(file, 'first\n');
    vault.logins.set('auth/k8s/login', (body) =>
      body.role === 'airlock' && body.jwt === 'first' ? { paths: ['secret/variables'], leaseSeconds: 0 } : null,
    );
    const args = {
      auth_type: 'kubernetes',
      auth_mount_point: 'k8s',
      kubernetes_role: 'airlock',
      kubernetes_jwt_path: file,
    };
    using backend = open(vault, args);
    assert.equal(await backend.variable('region', null), 'eu');
    using plain = open(vault, { token: null, token_path: file });
    await assert.rejects(plain.variable('region', null), code('SECRETS_REFUSED'));
    writeFileSync(file, 't');
    clock.ms += 31_000;
    assert.equal(await plain.variable('region', null), 'eu');
    rmSync(file);
    using gone = open(vault, { token: null, token_path: file });
    await assert.rejects(gone.variable('region', null), code('SECRETS_UNAVAILABLE'));
  } finally {
    rmSync(folder, { recursive: true });
  }
});

test('the same name asked for by many at once is one look-up; it is remembered only where that was asked for', async () => {
  await using vault = await filled();
  using plain = open(vault);
  await Promise.all(Array.from({ length: 100 }, () => plain.variable('region', null)));
  assert.equal(vault.seen.length, 1);
  await plain.variable('region', null);
  assert.equal(vault.seen.length, 2);
  using cached = open(vault, {}, { cacheMs: 60_000 });
  for (let n = 0; n < 3; n++) await cached.variable('region', null);
  assert.equal(vault.seen.length, 3);
  for (let n = 0; n < 2; n++) await cached.variable('absent', null);
  assert.equal(vault.seen.length, 5, 'an absence is not remembered');
  clock.ms += 60_000;
  await cached.variable('region', null);
  assert.equal(vault.seen.length, 6);
});

test('numbers and truth values may be texts, which is all that a variable can hold; other texts stay refused', async () => {
  await using vault = await filled();
  using typed = open(vault, { kv_engine_version: 2, timeout: 3, use_team_secrets_path: true, verify: true });
  using texts = open(vault, { kv_engine_version: '2', timeout: '3', use_team_secrets_path: 'True', verify: 'true' });
  assert.equal(await texts.variable('region', null), await typed.variable('region', null));
  for (const args of [
    { kv_engine_version: '3' },
    { timeout: '0' },
    { timeout: '1e9' },
    { use_team_secrets_path: 'maybe' },
    { verify: 'false' },
  ])
    assert.throws(() => open(vault, args), { code: 'CONFIG_INVALID' }, JSON.stringify(args));
});

test('arguments that are wrong, unknown or unsafe are refused at start, and none of their values is shown', () => {
  const good = { url: 'https://vault.example:8200', token: 'S3CRET' };
  const start = (args: Record<string, unknown>) =>
    openSecretBackend({
      backend: 'vault',
      backend_kwargs: JSON.stringify(args),
      multiTeam: false,
      cacheMs: 0,
      nowMs: () => 0,
    });
  for (const [what, args] of Object.entries({
    'no url': { token: 'S3CRET' },
    'plain http over a network': { ...good, url: 'http://vault.example:8200' },
    'credentials in the url': { ...good, url: 'https://u:S3CRET@vault.example' },
    'no token': { url: good.url },
    'no role': { url: good.url, auth_type: 'approle', secret_id: 'S3CRET' },
    'another auth': { ...good, auth_type: 'aws_iam' },
    'no check of the server': { ...good, verify: false },
    'a file that is not there': { ...good, verify: '/nonexistent/S3CRET'.replace('S3CRET', 'ca.pem') },
    'an unknown argument': { ...good, secret_version: 'S3CRET' },
    'a step in a path': { ...good, variables_path: '../S3CRET' },
    'a step in the mount': { ...good, mount_point: '..' },
    'another engine': { ...good, kv_engine_version: 3 },
    'a long wait': { ...good, timeout: 3600 },
    'a number as a token': { ...good, token: 5 },
  })) {
    assert.throws(
      () => start(args),
      (error) => code('CONFIG_INVALID')(error) && !String(error).includes('S3CRET'),
      what,
    );
  }
  for (const args of [good, { ...good, url: 'http://127.0.0.1:8200' }, { ...good, timeout: 30, verify: true }])
    start(args)!.close();
  assert.equal(
    openSecretBackend({ backend: null, backend_kwargs: null, multiTeam: false, cacheMs: 0, nowMs: () => 0 }),
    null,
  );
});
