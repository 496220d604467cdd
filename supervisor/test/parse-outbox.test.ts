import assert from 'node:assert/strict';
import { test } from 'node:test';
import { setTimeout as delay } from 'node:timers/promises';
import type { ParseReport, ParseReportAnswer } from '@airlock/contract/supervisor-api';
import type { ExecutionAnswer } from '../src/client/index.ts';
import { type ParseApi, ReportRefused } from '../src/parse/api.ts';
import { Outbox } from '../src/parse/outbox.ts';

const log = { info: () => undefined, warn: () => undefined };
const report = (path: string, dags: readonly string[] = [path]): ParseReport => ({
  relative_fileloc: path, inputs_digest: dags.join(), dags: [...dags], module: { hash: '', code: '' }, source: '', import_error: null, warnings: [], parse_seconds: 0,
}); // biome-ignore format: a table

/** A server that keeps a Dag id for the first file that has it, until that file is gone or drops it. */
function server() {
  const owners = new Map<string, string>();
  const sent: string[] = [];
  const api: ParseApi = {
    bundles: async () => ({ bundles: [] }),
    async report(_, { relative_fileloc: path, dags }): Promise<ParseReportAnswer> {
      sent.push(path);
      for (const [dag, owner] of [...owners]) if (owner === path && !dags.includes(dag)) owners.delete(dag);
      const taken = dags.some((dag) => (owners.get(dag as string) ?? path) !== path);
      if (taken) return { dags: [], import_error: 'used by two files' };
      const changed = dags.map((dag) => ({
        dag_id: dag as string,
        version_number: 1,
        changed: owners.get(dag as string) !== path,
      }));
      for (const dag of dags) owners.set(dag as string, path);
      return { dags: changed, import_error: null };
    },
    async listing(_, files) {
      for (const [dag, owner] of [...owners]) if (!files.includes(owner)) owners.delete(dag);
    },
    failure: async () => undefined,
  };
  return { api, owners, sent };
}
async function idle(outbox: Outbox): Promise<void> {
  for (let i = 0; i < 2000 && outbox.pending; i++) await delay(1);
  assert.ok(!outbox.pending);
}

test('a Dag id that two files use passes to the second when the first is removed', async () => {
  const { api, owners } = server();
  const outbox = new Outbox('b', api, log);
  outbox.putListing(['a.ts', 'b.ts']);
  outbox.putReport(report('a.ts', ['d']));
  outbox.putReport(report('b.ts', ['d']));
  await idle(outbox);
  assert.equal(owners.get('d'), 'a.ts');
  outbox.putListing(['b.ts']);
  await idle(outbox);
  assert.equal(owners.get('d'), 'b.ts');
});

test('it passes also when the first gives its Dag another id, and refusals do not chase each other', async () => {
  const { api, owners, sent } = server();
  const outbox = new Outbox('b', api, log);
  outbox.putReport(report('a.ts', ['d']));
  for (const path of ['b.ts', 'c.ts']) outbox.putReport(report(path, ['d']));
  await idle(outbox);
  assert.ok(sent.length < 8, sent.join());
  outbox.putReport(report('a.ts', ['other']));
  await idle(outbox);
  assert.deepEqual([owners.get('d'), owners.get('other')], ['b.ts', 'a.ts']);
});

test('a report that is too large for the server becomes an import error that says so', async () => {
  const seen: ParseReport[] = [];
  const { api } = server();
  const outbox = new Outbox('b', { ...api, report: async (_, r) => {
    seen.push(r);
    if (r.module !== null) throw new ReportRefused('it', { status: 413, text: () => '' } as ExecutionAnswer);
    return { dags: [], import_error: r.import_error };
  } }, log); // biome-ignore format: short
  outbox.putReport(report('a.ts'));
  await idle(outbox);
  assert.match(seen.at(-1)?.import_error ?? '', /^a\.ts: The Dags of this file are too large for the server\./);
  assert.equal(seen.length, 2);
});

test('a report on a file that is gone is not sent any more', async () => {
  const { api, sent } = server();
  let open: (() => void) | undefined;
  const gate = new Promise<void>((resolve) => {
    open = resolve;
  });
  const outbox = new Outbox('b', { ...api, listing: () => gate }, log);
  outbox.putListing(['a.ts']);
  outbox.putReport(report('a.ts'));
  outbox.putReport(report('b.ts'));
  outbox.putListing(['b.ts']);
  open?.();
  await idle(outbox);
  assert.deepEqual(sent, ['b.ts']);
});
