/** execve(2): this process goes on as another program, with the restrictions it has put on itself. */
import { addressOf, mustCall } from '../native/libc.ts';
import { here } from '../native/syscalls.ts';

/** A NULL-terminated array of texts, and the buffers that it points to. */
function textArray(texts: readonly string[]): { readonly array: Buffer; readonly kept: readonly Buffer[] } {
  const kept = texts.map((text) => Buffer.from(`${text}\0`));
  const array = Buffer.alloc(8 * (kept.length + 1));
  kept.forEach((bytes, index) => {
    array.writeBigUInt64LE(addressOf(bytes), index * 8);
  });
  return { array, kept };
}

/** Does not return. @throws SystemCallError when the kernel refuses */
export function replaceProgram(
  program: string,
  args: readonly string[],
  env: Readonly<Record<string, string | undefined>>,
): never {
  const argv = textArray(args);
  const envp = textArray(Object.entries(env).map(([name, value]) => `${name}=${value ?? ''}`));
  mustCall('execve', here('execve'), program, program, argv.array, envp.array);
  throw new Error(`execve returned, with ${argv.kept.length} arguments and ${envp.kept.length} variables`);
}
