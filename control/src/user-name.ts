import { userInfo } from 'node:os';

/** The name of the user that runs this process; `uid<N>` where the host's user list has none, as for ids made for us alone. */
export function processUserName(): string {
  // Looking reads a dozen files, and a process does not change its user.
  name ??= ask();
  return name;
}

let name: string | undefined;

function ask(): string {
  try {
    return userInfo().username;
  } catch {
    return `uid${process.getuid?.() ?? 'unknown'}`;
  }
}
