/** Secrets that are made at first start, one file each, readable by us alone. */
import { randomBytes } from 'node:crypto';
import { closeSync, fsyncSync, openSync, readFileSync, renameSync, writeSync } from 'node:fs';
import { join } from 'node:path';

/** The secret of this name: 32 random bytes, base64url; made when there is none. Whole or not at all, also after a crash. */
export function ownSecret(keysDir: string, name: string): string {
  const path = join(keysDir, name);
  try {
    return readFileSync(path, 'utf8').trim();
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code !== 'ENOENT') throw error;
  }
  const secret = randomBytes(32).toString('base64url');
  const draft = `${path}.new`;
  const fd = openSync(draft, 'w', 0o600);
  writeSync(fd, `${secret}\n`);
  fsyncSync(fd);
  closeSync(fd);
  renameSync(draft, path);
  return secret;
}

/** A password for people: 20 letters and digits without look-alikes, 115 bits. */
export function generatePassword(): string {
  const letters = 'abcdefghijkmnpqrstuvwxyzABCDEFGHJKLMNPQRSTUVWXYZ23456789';
  let password = '';
  while (password.length < 20) {
    for (const byte of randomBytes(32)) {
      // Bytes above the last multiple would favour the first letters.
      if (byte < 256 - (256 % letters.length) && password.length < 20) password += letters[byte % letters.length];
    }
  }
  return password;
}
