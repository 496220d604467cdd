/** The filter is run here, instruction by instruction, so that what it decides is seen without a kernel of each architecture. */
import { equal, notEqual } from 'node:assert/strict';
import { test } from 'node:test';
import { buildFilter, DENIED_CALLS, type SocketFamilies } from './seccomp.ts';
import { type Architecture, systemCallNumber } from './syscalls.ts';

const AUDIT_ARCH = { x64: 0xc000003e, arm64: 0xc00000b7 };
const ALLOW = 0x7fff0000;
const EPERM = 0x00050001;
const ENOSYS = 0x00050026;
const KILL = 0x80000000;
const HOST: SocketFamilies = { unix: true, internet: true };

/** What the filter returns for a call: a little machine for the five instructions that it uses. */
function decide(
  architecture: Architecture,
  families: SocketFamilies,
  number: number,
  args: number[] = [],
  arch?: number,
): number {
  const program = buildFilter(architecture, families);
  const data = new Map([
    [0, number],
    [4, arch ?? AUDIT_ARCH[architecture]],
    ...args.map((arg, index) => [16 + 8 * index, arg] as const),
  ]);
  let accumulator = 0;
  for (let at = 0; at < program.length; at++) {
    const [code, jumpTrue, jumpFalse, value] = program[at]!;
    if (code === 0x20) accumulator = data.get(value) ?? 0;
    else if (code === 0x15) at += accumulator === value ? jumpTrue : jumpFalse;
    else if (code === 0x35) at += accumulator >= value ? jumpTrue : jumpFalse;
    else if (code === 0x45) at += (accumulator & value) !== 0 ? jumpTrue : jumpFalse;
    else if (code === 0x06) return value >>> 0;
    else throw new Error(`instruction ${code}`);
  }
  throw new Error('ran off the end');
}

for (const architecture of ['x64', 'arm64'] as const) {
  const number = (call: Parameters<typeof systemCallNumber>[0]) => systemCallNumber(call, architecture)!;

  test(`${architecture}: every call of the list is refused with EPERM, and an ordinary one is allowed`, () => {
    let refused = 0;
    for (const call of DENIED_CALLS) {
      const n = systemCallNumber(call, architecture);
      if (n === null) continue;
      equal(decide(architecture, HOST, n), EPERM, call);
      refused++;
    }
    equal(refused >= 50, true);
    equal(decide(architecture, HOST, number('prctl')), ALLOW);
    equal(decide(architecture, HOST, number('execve')), ALLOW);
    equal(decide(architecture, HOST, number('landlock_restrict_self')), ALLOW);
  });

  test(`${architecture}: no call is listed under a number of another one`, () => {
    const numbers = DENIED_CALLS.flatMap((call) => systemCallNumber(call, architecture) ?? []);
    equal(new Set(numbers).size, numbers.length);
  });

  test(`${architecture}: clone makes threads and processes but no namespaces, and clone3 is as if it were not there`, () => {
    const THREAD = 0x3d0f00;
    equal(decide(architecture, HOST, number('clone'), [THREAD]), ALLOW);
    equal(decide(architecture, HOST, number('clone'), [17]), ALLOW);
    for (let bit = 0; bit < 32; bit++) {
      const flag = (1 << bit) >>> 0;
      const namespace = [0x20000, 0x2000000, 0x4000000, 0x8000000, 0x10000000, 0x20000000, 0x40000000].includes(flag);
      equal(
        decide(architecture, HOST, number('clone'), [flag]),
        namespace ? EPERM : ALLOW,
        `flag ${flag.toString(16)}`,
      );
    }
    equal(decide(architecture, HOST, number('clone3')), ENOSYS);
  });

  test(`${architecture}: sockets are of the allowed families only`, () => {
    const socket = (families: SocketFamilies, family: number) =>
      decide(architecture, families, number('socket'), [family]);
    const packet = 17;
    const vsock = 40;
    for (const family of [1, 2, 10, 16]) equal(socket(HOST, family), ALLOW);
    for (const family of [0, packet, vsock, 38, 31]) equal(socket(HOST, family), EPERM);
    const parser = { unix: true, internet: false };
    equal(socket(parser, 1), ALLOW);
    for (const family of [2, 10, 16, packet]) equal(socket(parser, family), EPERM);
    for (const family of [1, 2, 10, 16]) equal(socket({ unix: false, internet: false }, family), EPERM);
  });

  test(`${architecture}: typing into a terminal is refused, other requests to devices are not`, () => {
    equal(decide(architecture, HOST, number('ioctl'), [0, 0x5412]), EPERM);
    equal(decide(architecture, HOST, number('ioctl'), [0, 0x541c]), EPERM);
    equal(decide(architecture, HOST, number('ioctl'), [0, 0x5413]), ALLOW);
  });

  test(`${architecture}: a call by the numbers of another architecture kills the process`, () => {
    equal(decide(architecture, HOST, 1, [], 0x40000003), KILL);
  });
}

test('x64: the x32 names of the same calls are refused', () => {
  const mount = systemCallNumber('mount', 'x64')!;
  equal(decide('x64', HOST, mount + 0x40000000), ENOSYS);
  notEqual(decide('x64', HOST, 0x3fffffff), ENOSYS);
});
