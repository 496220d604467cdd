/**
 * What hostile code tries. One function without outer references: its text is what a task's module holds, and the same text
 * runs unprotected as the control. It is told everything that an attacker could know: ids, paths, ports.
 */

export type Facts = {
  /** The real supervisor, and a process of the same user that does nothing to protect itself. */
  readonly supervisorPid: number;
  readonly decoyPid: number;
  /** Another try's process, as the host sees it, and its work folder there. */
  readonly siblingPid: number;
  readonly siblingFile: string;
  readonly keyFile: string;
  readonly postgresFile: string;
  readonly postgresSocket: string;
  readonly logFile: string;
  readonly abstractSocket: string;
};

/** Name → what was got; text that starts with `refused` otherwise. */
export type Loot = Record<string, string>;

export async function runProbes(facts: Facts): Promise<Loot> {
  const fs = process.getBuiltinModule('node:fs');
  const cp = process.getBuiltinModule('node:child_process');
  const net = process.getBuiltinModule('node:net');
  const ffi = process.getBuiltinModule('node:ffi');
  const loot: Record<string, string> = {};
  const attempt = async (name: string, probe: () => string | Promise<string>) => {
    try {
      loot[name] = await probe();
    } catch (error) {
      loot[name] = `refused: ${error instanceof Error ? error.message : String(error)}`;
    }
  };
  const connect = (target: string) =>
    new Promise<string>((resolve, reject) => {
      const socket = net.connect(target);
      socket.once('data', (data) => {
        socket.destroy();
        resolve(data.toString());
      });
      socket.once('error', reject);
    });
  const { functions } = ffi.dlopen(null, {
    syscall: { arguments: ['i64', 'i64', 'i64', 'i64', 'i64', 'i64', 'i64'], return: 'i64' },
  });
  const arm = process.arch === 'arm64';
  const call = (name: string, x64: number, arm64: number, ...args: bigint[]) => {
    const [a = 0n, b = 0n, c = 0n, d = 0n, e = 0n, f = 0n] = args;
    const result = functions.syscall(BigInt(arm ? arm64 : x64), a, b, c, d, e, f);
    if (result === -1n) throw new Error(`${name} failed`);
    return result;
  };
  /** The first page of a process's writable memory, by /proc/PID/mem. */
  const memoryOf = (pid: number) => {
    const map = fs
      .readFileSync(`/proc/${pid}/maps`, 'latin1')
      .split('\n')
      .find((line) => / rw-p .*\[heap\]/.test(line));
    const start = Number.parseInt(String(map).split('-')[0]!, 16);
    const descriptor = fs.openSync(`/proc/${pid}/mem`, 'r');
    const bytes = Buffer.alloc(4096);
    fs.readSync(descriptor, bytes, 0, 4096, start);
    return `read ${bytes.byteLength} bytes`;
  };
  for (const [who, pid] of [
    ['supervisor', facts.supervisorPid],
    ['decoy', facts.decoyPid],
    ['sibling', facts.siblingPid],
  ] as const) {
    await attempt(
      `${who}: environment`,
      () => `read ${fs.readFileSync(`/proc/${pid}/environ`, 'latin1').slice(0, 2000)}`,
    );
    await attempt(`${who}: memory`, () => memoryOf(pid));
    await attempt(`${who}: descriptors`, () => `read ${fs.readdirSync(`/proc/${pid}/fd`).length}`);
    await attempt(`${who}: signal`, () => {
      process.kill(pid, 0);
      return 'sent';
    });
    // PTRACE_SEIZE, then PTRACE_DETACH by ending: seizing does not stop the target.
    await attempt(`${who}: ptrace`, () => `attached ${call('ptrace', 101, 117, 0x4206n, BigInt(pid))}`);
    await attempt(`${who}: process_vm_readv`, () => {
      const local = Buffer.alloc(16);
      const vector = Buffer.alloc(16);
      vector.writeBigUInt64LE(ffi.getRawPointer(local), 0);
      vector.writeBigUInt64LE(16n, 8);
      const map = fs.readFileSync(`/proc/${pid}/maps`, 'latin1').split('\n')[0]!;
      const remote = Buffer.alloc(16);
      remote.writeBigUInt64LE(BigInt(`0x${map.split('-')[0]}`), 0);
      remote.writeBigUInt64LE(16n, 8);
      const got = call(
        'process_vm_readv',
        310,
        270,
        BigInt(pid),
        ffi.getRawPointer(vector),
        1n,
        ffi.getRawPointer(remote),
        1n,
        0n,
      );
      return `read ${got} bytes`;
    });
  }
  await attempt('signing key', () => fs.readFileSync(facts.keyFile, 'utf8'));
  await attempt('database files', () => fs.readFileSync(facts.postgresFile, 'utf8'));
  await attempt('database socket', () => connect(facts.postgresSocket));
  await attempt('abstract socket', () => connect(`\0${facts.abstractSocket}`));
  await attempt("sibling's work folder", () => fs.readFileSync(facts.siblingFile, 'utf8'));
  await attempt('logs', () => fs.readFileSync(facts.logFile, 'utf8'));
  await attempt('key folder, relative', () => fs.readFileSync(`/proc/self/cwd/../../../..${facts.keyFile}`, 'utf8'));
  await attempt('user namespace', () => {
    cp.execFileSync('unshare', ['--user', 'true'], { stdio: 'ignore' });
    return 'made';
  });

  // A token in the own environment, or anywhere in the own memory: every writable mapping is searched.
  await attempt('token in own environment', () => {
    const found = /execution-[0-9a-f-]{36}|worker-token/.exec(JSON.stringify(process.env));
    if (found === null) throw new Error('none there');
    return `found ${found[0].slice(0, 12)}`;
  });
  await attempt('token in own memory', () => {
    let scanned = 0;
    const pattern = /(?:execution|workload)-[0-9a-f]{8}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{12}/;
    for (const line of fs.readFileSync('/proc/self/maps', 'latin1').split('\n')) {
      const region = /^([0-9a-f]+)-([0-9a-f]+) rw/.exec(line);
      if (region === null || /\[v(var|sys|dso)/.test(line)) continue;
      const start = BigInt(`0x${region[1]}`);
      const size = Number(BigInt(`0x${region[2]}`) - start);
      for (let at = 0; at < size; at += 1_048_576) {
        // Through the kernel and a file: a page that may not be read is an error of write(2) then, and no crash.
        const length = BigInt(Math.min(1_048_576, size - at));
        const descriptor = fs.openSync('scan', 'w+');
        try {
          call('write', 1, 64, BigInt(descriptor), start + BigInt(at), length);
          const bytes = fs.readFileSync('scan', 'latin1');
          scanned += bytes.length;
          if (pattern.test(bytes)) return 'found one';
        } catch {
          // unreadable
        } finally {
          fs.closeSync(descriptor);
        }
      }
    }
    throw new Error(scanned > 20_000_000 ? 'none there' : `only ${scanned} bytes searched`);
  });
  return loot;
}
