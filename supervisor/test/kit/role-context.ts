/** What a role is given, for tests of its parts that speak with no server or with one of their own. */
import assert from 'node:assert/strict';
import { tmpdir } from 'node:os';
import { fileURLToPath } from 'node:url';
import { systemClock } from '@airlock/contract/clock';
import { detectTier } from '@airlock/proc/sandbox/index';
import { pino } from 'pino';
import { childEntries } from '../../src/child-entries.ts';
import type { CallOptions, ExecutionAnswer, ExecutionClient } from '../../src/client/index.ts';
import type { RoleContext } from '../../src/role-context.ts';
import { testConfig } from './worker.ts';

const folder = (path: string) => fileURLToPath(new URL(`../../../${path}`, import.meta.url)).replace(/\/$/, '');

/** A client that answers by `call`; default: nobody may call. */
export function clientOf(call: (o: CallOptions) => Promise<ExecutionAnswer> = never): ExecutionClient {
  return { call, register: never, close: async () => undefined };
}
const never = () => assert.fail('no server is asked');

/** An answer as a server gives it. */
export function replyOf(status: number, value: unknown): ExecutionAnswer {
  const text = JSON.stringify(value) ?? '';
  return {
    status,
    headers: { 'content-type': 'application/json' },
    attempts: 1,
    body: Buffer.from(text),
    json: <T>() => value as T,
    text: () => text,
  };
}

/** @param env options of the configuration */
export async function testRoleContext(
  env: Record<string, string> = {},
  over: Partial<RoleContext> = {},
): Promise<RoleContext> {
  const log = over.log ?? pino({ level: process.env.TEST_LOG ?? 'silent' });
  return {
    client: clientOf(),
    supervisorId: '01890000-0000-7000-8000-000000000000',
    token: { current: 'the-token-of-a-role' },
    config: testConfig(env),
    clock: systemClock,
    log,
    tier: detectTier(),
    hostname: 'h',
    unixname: 'u',
    executionUrl: 'http://127.0.0.1:1/execution',
    environment: { PATH: process.env.PATH },
    entries: await childEntries(log),
    packages: [folder('sdk'), folder('contract')],
    workBase: tmpdir(),
    hidden: [],
    ...over,
  };
}
