import assert from 'node:assert/strict';
import { test } from 'node:test';
import { resolveConfig } from './index.ts';
import { checkTransport, isLoopback } from './transport.ts';

const check = (env: Record<string, string>) => checkTransport(resolveConfig({ env, ini: {}, expand: (text) => text }));
const TLS = { AIRLOCK__API__SSL_CERT: '/c', AIRLOCK__API__SSL_KEY: '/k' };
const INSECURE = { AIRLOCK__API__INSECURE_PLAIN_HTTP: 'True' };
const REFUSED = { code: 'CONFIG_INVALID' };

test('loopback is 127.0.0.0/8, ::1 and localhost, and nothing that only looks so', () => {
  for (const host of ['127.0.0.1', '127.255.0.9', '::1', '[::1]', 'localhost', 'LOCALHOST'])
    assert.ok(isLoopback(host), host);
  for (const host of [
    '0.0.0.0',
    '::',
    '10.0.0.1',
    '127.0.0.1.example.com',
    '127.0.0.256',
    '127.1',
    'localhost.example.com',
    '::ffff:10.0.0.1',
    '',
  ])
    assert.ok(!isLoopback(host), host);
});

test('listening on a network without TLS is refused; with TLS, by name, or on loopback it is not', () => {
  for (const host of ['0.0.0.0', '::', '192.0.2.7', 'airlock.example']) {
    const env = { AIRLOCK__API__HOST: host };
    assert.throws(() => check(env), { ...REFUSED, message: new RegExp(`\\[api\\] host is ${host}, .*plain http`) });
    check({ ...env, ...TLS });
    check({ ...env, ...INSECURE });
  }
  check({});
  check({ AIRLOCK__API__HOST: '::1' });
});

test('an address of another machine by plain http is refused; by https, by name, or on loopback it is not', () => {
  for (const name of ['API__BASE_URL', 'CORE__EXECUTION_API_SERVER_URL']) {
    const at = (url: string) => ({ [`AIRLOCK__${name}`]: url });
    assert.throws(() => check(at('http://airlock.example/x')), {
      ...REFUSED,
      message: /is http:.*plain http to another/,
    });
    assert.throws(
      () => check({ ...at('http://10.0.0.1:8080'), ...TLS }),
      REFUSED,
      'our own certificate is no help there',
    );
    check(at('https://airlock.example/x'));
    check(at('http://127.0.0.1:8080'));
    check({ ...at('http://airlock.example/x'), ...INSECURE });
  }
});

test('half a certificate is refused, and names the other half', () => {
  for (const [one, other] of [
    ['SSL_CERT', 'ssl_key'],
    ['SSL_KEY', 'ssl_cert'],
  ] as const)
    assert.throws(() => check({ [`AIRLOCK__API__${one}`]: '/x', ...INSECURE }), {
      ...REFUSED,
      message: new RegExp(`\\[api\\] ${one.toLowerCase()} is set and \\[api\\] ${other} is not`),
    });
  check(TLS);
});
