/**
 * Every option meets every wrong value that its type can have, at each place where it may stand, and each is refused with
 * option, value, place and what is allowed. Beside each, a right value at the same place is taken.
 */
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { isAppError } from '../errors.ts';
import { resolveConfig, SECTIONS } from './index.ts';
import type { OptionRow } from './options.ts';
import { type ConfigSources, environmentName } from './resolve.ts';

const KEY = 'A'.repeat(43);
/** For texts with a rule, by what the rule allows: one that holds, and some that don't. */
const BY_RULE: ReadonlyArray<{ allowed: RegExp; right: string; wrong: readonly string[] }> = [
  { allowed: /a host name or an IP/, right: '::1', wrong: ['', 'a b', 'http://x', '-x', 'x/y', ':::', 'x:1'] },
  {
    allowed: /an http:\/\/ or https:\/\//,
    right: 'https://flows.example/base/',
    wrong: ['flows.example', 'ftp://x', 'https://u:p@x', 'https://x?y', 'https://x#y', 'http://', 'https://x y'],
  },
  {
    allowed: /^an https:\/\/ address/,
    right: 'https://login.example/realms/one',
    wrong: [
      'http://login.example',
      'login.example',
      'https://u:p@x',
      'https://x?y',
      'http://localhost.x',
      'https://x y',
    ],
  },
  { allowed: /^vault or/, right: 'vault', wrong: ['Vault', 'x.y.Backend', 'vault, vault', ' vault'] },
  {
    allowed: /scheme and host/,
    right: 'https://a.example',
    wrong: ['*', 'a.example', 'https://a.example/path', 'null'],
  },
  {
    allowed: /an IP address or a network/,
    right: '127.0.0.1, 10.1.0.0/16, ::1, fd00::/8',
    wrong: [
      '*',
      'true',
      '1',
      'proxy.example',
      '10.0.0.0/33',
      '0.0.0.0/0',
      '::/0',
      '10.1.0.0/16,*',
      '10.0.0.256',
      '::1/129',
      '10.1/16',
      '10.0.0.1/',
      '10.0.0.1/8/8',
    ],
  },
  {
    allowed: /an absolute path, or/,
    right: 'https://keys.example/jwks.json?v=1',
    wrong: [
      'jwks.json',
      'http://x/j',
      'HTTP://x/j',
      'ftp://x',
      'https://u:secret@x/j',
      'https://x/j#k',
      'https://',
      'https://x y',
    ],
  },
  {
    allowed: /the name of a bundle/,
    right: 'a=/opt/a/venv, b c=/usr/bin/python3',
    wrong: ['/opt/venv', 'a=', 'a=venv', '=/opt/venv', 'a/b=/opt/venv', 'a=/opt/venv,b'],
  },
  { allowed: /a path/, right: '/var/x', wrong: ['', '  '] },
  { allowed: /IANA name/, right: 'Europe/Stockholm', wrong: ['', 'Nowhere/Land', 'UTC+27'] },
  { allowed: /a regular expression/, right: '^x$', wrong: ['', '(', 'a{2,1}'] },
  { allowed: /a JSON list/, right: '[]', wrong: ['{}', '[', 'x'] },
  { allowed: /a JSON object/, right: '{"a": "user"}', wrong: ['', '[]', 'null', '{', 'x'] },
  { allowed: /name of a claim/, right: 'groups', wrong: ['', 'a b', '__proto__'] },
  { allowed: /letters, digits and underscores/, right: 'A,B_2', wrong: ['1A', 'A=B', 'A,B C'] },
  { allowed: /1 to 256 characters/, right: 'q', wrong: ['q'.repeat(257)] },
  { allowed: /at least one audience/, right: 'a,b', wrong: ['', ' , '] },
  { allowed: /a text that is not empty/, right: 'a', wrong: ['', ' '] },
  { allowed: /keys of 32 bytes/, right: `${KEY}=,${KEY}`, wrong: ['x', `${KEY}A`, `${KEY},`] },
  { allowed: /a postgresql:\/\/ address/, right: 'postgresql+psycopg2://u@h/d', wrong: ['mysql://u:secret@h/d', 'x'] },
];

type Described = { readonly min?: number; readonly max?: number; readonly above?: string };

/** A right value, and wrong ones of this option. */
function samples(row: OptionRow<unknown>): { right: string; wrong: string[] } {
  const { min, max, above } = row as Described;
  const numbers = () => [
    ...(row.default === null ? [] : ['']),
    'many',
    '1,5',
    'NaN',
    '1e400',
    ...(min === undefined ? [] : [String(min - 1)]),
    ...(max === undefined || above === 'lower' ? [] : [String(max + 1)]),
  ];
  switch (row.kind) {
    case 'bool':
      return { right: 'True # a word', wrong: [...(row.default === null ? [] : ['']), 'maybe', '2', 'truee'] };
    case 'int':
      return { right: String(max ?? (min ?? 0) + 1), wrong: [...numbers(), '1.5'] };
    case 'number':
      return { right: String((min ?? 0) + 0.5), wrong: numbers() };
    case 'choice':
      return { right: row.choices!.at(-1)!.toUpperCase(), wrong: ['', 'nonsense', `${row.choices![0]},`] };
    case 'text':
    case 'list': {
      const rule = BY_RULE.find(({ allowed }) => allowed.test(row.allowed));
      // An option with a rule of its own needs its samples here.
      assert.ok(
        rule || /^(text without control characters|a list separated by commas)(, or nothing)?$/.test(row.allowed),
        row.allowed,
      );
      const any = ['a\u0001b', 'a\u007fb', 'a'.repeat(65_537)];
      return { right: rule?.right ?? 'any thing', wrong: [...any, ...(rule?.wrong ?? [])] };
    }
  }
}

const HIDDEN_OR_SHOWN = (row: OptionRow<unknown>, value: string) =>
  row.sensitive ? '(value < hidden > from ' : `(value ${JSON.stringify(value).slice(0, 60).replace(/"$/, '')}`;

test('each wrong value of each option at each place is refused with all that its reader needs, and each right one is taken', () => {
  let refusals = 0;
  let options = 0;
  for (const [section, table] of Object.entries(SECTIONS)) {
    for (const [key, described] of Object.entries(table)) {
      const row = described as OptionRow<unknown>;
      const { right, wrong } = samples(row);
      options += 1;
      const variable = (prefix: 'AIRLOCK' | 'AIRFLOW', suffix = '') => environmentName(prefix, section, key) + suffix;
      const places: Array<{ name: string; at: (value: string) => Partial<ConfigSources> }> = [
        { name: variable('AIRLOCK'), at: (value) => ({ env: { [variable('AIRLOCK')]: value } }) },
        { name: variable('AIRFLOW'), at: (value) => ({ env: { [variable('AIRFLOW')]: value } }) },
        { name: `/x/airlock.cfg, line 3`, at: (value) => ({ ini: { [section]: { [key]: value } } }) },
        ...(row.sensitive
          ? [
              {
                name: `the command ${variable('AIRLOCK', '_CMD')}`,
                at: (value: string) => ({ env: { [variable('AIRLOCK', '_CMD')]: 'print' }, command: () => value }),
              },
            ]
          : []),
      ];
      for (const { name, at } of places) {
        const read = (value: string) =>
          resolveConfig({
            env: {},
            ini: {},
            expand: (text) => text,
            place: () => '/x/airlock.cfg, line 3',
            ...at(value),
          });
        read(right);
        for (const value of wrong) {
          if (value === '' && row.default === null) continue;
          assert.throws(
            () => read(value),
            (error) => {
              assert.ok(isAppError(error, 'CONFIG_INVALID', 'DB_DIALECT'), `${name} ${value}: ${error}`);
              for (const part of [`[${section}] ${key}`, HIDDEN_OR_SHOWN(row, value), name, `allowed: ${row.allowed})`])
                assert.ok(error.message.includes(part), `${part}\n${error.message.slice(0, 500)}`);
              // Neither a secret nor a screen full of a value.
              if (row.sensitive && value.length > 3) assert.ok(!error.message.includes(value), name);
              assert.ok(error.message.length < 1000, String(error.message.length));
              assert.ok(error.remedy.length > 0);
              return true;
            },
            `[${section}] ${key} = ${JSON.stringify(value.slice(0, 40))} was taken`,
          );
          refusals += 1;
        }
      }
    }
  }
  console.log(`wrong values: ${refusals} refused over ${options} options, each beside a right one that was taken`);
});

test('two wrong options are named together', () => {
  const env = { AIRLOCK__API__PORT: 'x', AIRLOCK__SANDBOX__MAX_PROCESSES: '1' };
  assert.throws(() => resolveConfig({ env, ini: {}, expand: (text) => text }), {
    code: 'CONFIG_INVALID',
    message:
      /^The configuration is wrong: \[api\] port is not a number .*; \[sandbox\] max_processes is below 20 .*\.$/,
  });
});
