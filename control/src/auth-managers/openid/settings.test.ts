import assert from 'node:assert/strict';
import { test } from 'node:test';
import { resolveConfig } from '@airlock/contract/config/index';
import { openIdSettings } from './settings.ts';
import { groupsIn, standingOf } from './standing.ts';

const GOOD: Readonly<Record<string, string>> = {
  AIRLOCK__CORE__AUTH_MANAGER: 'openid',
  AIRLOCK__API__BASE_URL: 'https://airlock.example/',
  AIRLOCK__OIDC__ISSUER: 'https://login.example/realms/one',
  AIRLOCK__OIDC__CLIENT_ID: 'airlock',
  AIRLOCK__OIDC__ROLE_MAPPING: '{"data": "user"}',
};
const settings = (over: Record<string, string> = {}, encrypts = true) =>
  openIdSettings(resolveConfig({ env: { ...GOOD, ...over }, ini: {}, expand: (text) => text }), encrypts);

test('what is needed is said by name, before anything listens', () => {
  assert.equal(settings().baseUrl, 'https://airlock.example'); // control
  const needed = {
    AIRLOCK__API__BASE_URL: /\[api\] base_url/,
    AIRLOCK__OIDC__ISSUER: /\[oidc\] issuer/,
    AIRLOCK__OIDC__CLIENT_ID: /\[oidc\] client_id/,
  };
  for (const [name, message] of Object.entries(needed)) {
    assert.throws(() => settings({ [name]: '' }), { code: 'CONFIG_INVALID', message });
  }
  assert.throws(() => settings({}, false), { code: 'CONFIG_INVALID', message: /fernet_key/ });
});

test('an issuer is reached by https, or on this machine', () => {
  for (const good of [
    'https://login.example',
    'http://127.0.0.1:9000',
    'http://localhost/realms/x',
    'http://[::1]:80',
  ]) {
    assert.equal(settings({ AIRLOCK__OIDC__ISSUER: good }).issuer, good);
  }
  const bad = [
    'http://login.example',
    'http://127.0.0.1.evil.example',
    'http://localhost.evil.example',
    'http://0.0.0.0',
    'ftp://login.example',
    'https://user:secret@login.example',
    'https://login.example/?x',
    'https://login.example/#x',
    'login.example',
  ];
  for (const issuer of bad) {
    assert.throws(
      () => settings({ AIRLOCK__OIDC__ISSUER: issuer }),
      { code: 'CONFIG_INVALID', message: /issuer/ },
      issuer,
    );
  }
});

test('a mapping names roles and teams that can be, and teams only where they count', () => {
  for (const roles of ['{}', '{"a": "root"}', '{"a": ["user"]}', '{"a": null}', '{"a": "Admin"}', '[]', 'x', 'null']) {
    assert.throws(() => settings({ AIRLOCK__OIDC__ROLE_MAPPING: roles }), {
      code: 'CONFIG_INVALID',
      message: /role_mapping/,
    });
  }
  const teams = (text: string, multiTeam = 'true') =>
    settings({ AIRLOCK__OIDC__TEAM_MAPPING: text, AIRLOCK__CORE__MULTI_TEAM: multiTeam });
  for (const text of ['{"a": "etl"}', '{"a": [""]}', '{"a": ["with space"]}', '{"a": [1]}', '{"a": null}', '[]']) {
    assert.throws(() => teams(text), { code: 'CONFIG_INVALID', message: /team_mapping/ }, text);
  }
  assert.throws(() => teams('{"a": ["etl"]}', 'false'), { code: 'CONFIG_INVALID', message: /multi_team is off/ });
  assert.deepEqual(teams('{"a": ["etl"]}').mapping.teams.get('a'), ['etl']); // control
});

test('openid is always asked for, once', () => {
  assert.equal(settings({ AIRLOCK__OIDC__SCOPES: 'profile, groups' }).scope, 'openid profile groups');
  assert.equal(settings({ AIRLOCK__OIDC__SCOPES: '' }).scope, 'openid');
  assert.equal(settings({ AIRLOCK__OIDC__SCOPES: 'openid,email' }).scope, 'openid email');
});

test('groups give the highest of their roles and all of their teams; names of the language give nothing', () => {
  const mapping = {
    roles: new Map([
      ['v', 'viewer'],
      ['u', 'user'],
      ['a', 'admin'],
    ] as const),
    teams: new Map([
      ['u', ['two', 'one']],
      ['only-team', ['one', 'three']],
    ]),
  };
  assert.deepEqual(standingOf(['v', 'u'], mapping), { role: 'user', teams: ['one', 'two'] });
  assert.deepEqual(standingOf(['u', 'a', 'only-team', 'u'], mapping), {
    role: 'admin',
    teams: ['one', 'three', 'two'],
  });
  for (const groups of [[], ['only-team'], ['V'], ['__proto__', 'constructor', 'toString']]) {
    assert.equal(standingOf(groups, mapping), null);
  }
  assert.deepEqual(groupsIn(['a', 1, null, ['b'], 'c']), ['a', 'c']);
  for (const claim of ['a', undefined, null, 7, { 0: 'a', length: 1 }]) assert.deepEqual(groupsIn(claim), []);
});
