/**
 * What strangers can make the server hold (promise L17): bodies of 100 MiB without a token, announced or not, to both APIs.
 * Measured on the real process: the highest resident memory that the kernel saw, and the time to the answer.
 */
import assert from 'node:assert/strict';
import { readFileSync, writeFileSync } from 'node:fs';
import { connect } from 'node:net';
import { after, before, describe, test } from 'node:test';
import { partsBelow } from '../kit/processes.ts';
import { type Standalone, startStandalone } from '../kit/standalone.ts';

const MIB = 1024 * 1024;
const BODY_MIB = 100;
const MAX_GROWTH_MIB = 32;
const WITHIN_MS = 1000;

type Poured = { readonly answer: string; readonly firstByteMs: number; readonly sentMib: number };

/** Sends a request and pours its body as long as it is taken; gives what came back until the peer closed. */
function pour(url: string, path: string, how: 'announced' | 'chunked'): Promise<Poured> {
  const { hostname, port } = new URL(url);
  const length = how === 'announced' ? `Content-Length: ${BODY_MIB * MIB}` : 'Transfer-Encoding: chunked';
  const head = `POST ${path} HTTP/1.1\r\nHost: x\r\nContent-Type: application/json\r\n${length}\r\n\r\n`;
  const bytes = Buffer.alloc(64 * 1024, 0x20);
  const piece = how === 'announced' ? bytes : Buffer.concat([Buffer.from('10000\r\n'), bytes, Buffer.from('\r\n')]);
  return new Promise((resolve) => {
    let answer = '';
    let firstByteMs = Number.NaN;
    let left = (BODY_MIB * MIB) / bytes.length;
    const socket = connect(Number(port), hostname);
    const began = performance.now();
    const more = () => {
      while (left > 0 && !socket.destroyed) {
        left -= 1;
        if (!socket.write(piece)) return;
      }
    };
    socket.write(head);
    socket.on('drain', more).on('error', () => undefined);
    socket.on('data', (chunk) => {
      if (answer === '') firstByteMs = performance.now() - began;
      answer += chunk.toString('latin1');
    });
    socket.on('close', () => resolve({ answer, firstByteMs, sentMib: socket.bytesWritten / MIB }));
    more();
  });
}

// A process that is not dumpable lets only root forget its highest memory.
const skip = process.getuid!() === 0 ? false : 'needs root';

describe('bodies of strangers', { skip }, () => {
  let airlock: Standalone;
  before(async () => {
    airlock = await startStandalone();
  });
  after(async () => {
    await airlock?.stop();
  });

  const control = () => partsBelow(airlock.pid, 'control')[0]!.pid;
  const status = (name: string) =>
    Number(new RegExp(`^${name}:\\s+(\\d+) kB`, 'm').exec(readFileSync(`/proc/${control()}/status`, 'utf8'))![1]) /
    1024;
  /** Forgets the highest value so far. @see proc(5) clear_refs */
  const resetPeak = () => writeFileSync(`/proc/${control()}/clear_refs`, '5');

  test('100 MiB without a token are refused with 413 within a second, and the server holds no 32 MiB of them', async () => {
    const cases = ['/api/v2/variables', '/auth/token', '/execution/supervisors', '/execution/workloads/claim'].flatMap(
      (path) => [[path, 'announced'] as const, [path, 'chunked'] as const],
    );
    // Once before, so that what is loaded at the first request is no growth.
    for (const [path, how] of cases) await pour(airlock.url, path, how);
    const figures: string[] = [];
    for (const [path, how] of cases) {
      resetPeak();
      const beforeMib = status('VmRSS');
      const poured = await pour(airlock.url, path, how);
      const growthMib = status('VmHWM') - beforeMib;
      figures.push(`${path} ${how}: +${growthMib.toFixed(1)} MiB, ${Math.round(poured.firstByteMs)} ms`);
      const seen = poured.answer.split('\r\n')[0];
      // Without a token nothing else is said either way; what matters is that the body is not read to its end.
      assert.match(poured.answer, /^HTTP\/1\.1 (413|401|403) /, `${path} ${how}: ${seen}`);
      if (how === 'announced') assert.match(poured.answer, /^HTTP\/1\.1 413 /, `${path}: ${seen}`);
      assert.ok(growthMib <= MAX_GROWTH_MIB, `${path} ${how}: ${growthMib} MiB`);
      assert.ok(poured.firstByteMs < WITHIN_MS, `${path} ${how}: ${poured.firstByteMs} ms`);
    }
    console.log(`100 MiB of a stranger: ${figures.join('; ')}`);
  });

  test('32 of them at once hold no more', async () => {
    const pourAll = () => Promise.all(Array.from({ length: 32 }, () => pour(airlock.url, '/auth/token', 'announced')));
    // Once before, so that what 32 connections take for good is no growth.
    await pourAll();
    resetPeak();
    const beforeMib = status('VmRSS');
    const all = await pourAll();
    const growthMib = status('VmHWM') - beforeMib;
    console.log(`32 at once: +${growthMib.toFixed(1)} MiB`);
    for (const { answer } of all) assert.match(answer, /^HTTP\/1\.1 413 /);
    assert.ok(growthMib <= MAX_GROWTH_MIB, `${growthMib} MiB`);
  });

  test('the control: half a megabyte of somebody with a token is read and kept', async () => {
    const value = 'x'.repeat(500_000);
    await airlock.api('POST', '/api/v2/variables', { key: 'large', value });
    assert.equal((await airlock.api<{ value: string }>('GET', '/api/v2/variables/large')).value, value);
  });
});
