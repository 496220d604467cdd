import assert from 'node:assert/strict';
import { createHash } from 'node:crypto';
import { test } from 'node:test';
import {
  type ChainEnds,
  type ChainedEvent,
  createChainChecker,
  type LinkedEvent,
  linkHash,
  type NotedHead,
} from './audit-chain.ts';

const sha256 = (text: string) => createHash('sha256').update(text).digest('hex');
const ZERO = '0'.repeat(64);

function chainOf(count: number): { ends: ChainEnds; rows: LinkedEvent[] } {
  const rows: LinkedEvent[] = [];
  let hash = ZERO;
  for (let seq = 1; seq <= count; seq++) {
    const row: ChainedEvent = {
      id: seq * 3,
      at: `2026-01-01T00:00:00.00000${seq % 10}Z`,
      event: 'post_variable',
      owner: 'ann',
      team: null,
      dag_id: null,
      task_id: null,
      run_id: null,
      map_index: null,
      try_number: null,
      logical_date: null,
      extra: `{"n": ${seq}}`,
    };
    hash = linkHash(sha256, hash, seq, row);
    rows.push({ ...row, seq, hash });
  }
  return { rows, ends: { base_seq: 0, base_hash: ZERO, head_seq: count, head_hash: hash } };
}

function check(ends: ChainEnds, rows: readonly LinkedEvent[], noted: NotedHead | null = null): string | null {
  const checker = createChainChecker(sha256, ends, noted);
  for (const row of rows) checker.add(row);
  return checker.finish().problem;
}

test('a whole chain is right, from its beginning, from where its oldest rows were removed, and when it is empty', () => {
  const { ends, rows } = chainOf(9);
  assert.equal(check(ends, rows), null);
  assert.equal(check({ ...ends, base_seq: 4, base_hash: rows[3]!.hash }, rows.slice(4)), null);
  assert.equal(check({ ...ends, base_seq: 9, base_hash: ends.head_hash }, []), null);
});

test('a change of any field of any row is seen, and so is a row left out, put in, moved, or cut off the end', () => {
  const { ends, rows } = chainOf(6);
  const fields = Object.keys(rows[0]!).filter((name) => name !== 'seq' && name !== 'hash');
  assert.equal(fields.length, 12);
  for (const [n, row] of rows.entries()) {
    for (const field of fields) {
      const changed = rows.with(n, { ...row, [field]: field === 'id' ? 999 : 'other' });
      assert.match(check(ends, changed) ?? '', /does not have its hash/, `${field} of row ${n}`);
    }
    assert.notEqual(check(ends, rows.toSpliced(n, 1)), null, `without row ${n}`);
    assert.notEqual(check(ends, rows.toSpliced(n, 0, row)), null, `row ${n} twice`);
  }
  assert.notEqual(check(ends, [rows[1]!, rows[0]!, ...rows.slice(2)]), null);
  assert.match(check(ends, rows.slice(0, 5)) ?? '', /should end with row 6/);
  // A row without a hash of its own making is found even where nothing else was touched.
  assert.notEqual(check(ends, rows.with(2, { ...rows[2]!, hash: ZERO })), null);
});

test('who has noted a head sees that the chain was written anew after it, or cut', () => {
  const { ends, rows } = chainOf(6);
  const noted = { seq: 4, hash: rows[3]!.hash };
  assert.equal(check(ends, rows, noted), null);
  assert.equal(check({ ...ends, base_seq: 4, base_hash: noted.hash }, rows.slice(4), noted), null);

  // Somebody who has the database makes a chain that is right in itself, with one other row.
  const forged: LinkedEvent[] = [];
  let hash = ZERO;
  for (const row of rows) {
    const other = { ...row, owner: row.seq === 2 ? 'bob' : row.owner };
    hash = linkHash(sha256, hash, row.seq, other);
    forged.push({ ...other, hash });
  }
  const forgedEnds = { ...ends, head_hash: hash };
  assert.equal(check(forgedEnds, forged), null);
  assert.match(check(forgedEnds, forged, noted) ?? '', /written anew/);

  const short = chainOf(3);
  assert.match(check(short.ends, short.rows, noted) ?? '', /cut off/);
  assert.match(check({ ...ends, base_seq: 5, base_hash: rows[4]!.hash }, rows.slice(5), noted) ?? '', /removed since/);
});
