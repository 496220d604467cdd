import { userInfo } from 'node:os';

/** The name of the user that runs this process; `uid<N>` where the host's user list has none, as for ids made for us alone. */
export function processUserName(): string {
  try {
    return userInfo().username;
  } catch {
    return `uid${process.getuid?.() ?? 'unknown'}`;
  }
}
