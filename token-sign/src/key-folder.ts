/**
 * The keys that Airlock makes and changes itself: one PEM file each (PKCS8, Ed25519, mode 0600) in a folder of mode 0700.
 * The folder is all there is to know: a file's name says from which second on its key signs, so that several signers of one
 * folder, and one that starts anew, agree. The newest key whose second has come signs; one whose second has not come is
 * published already; the older ones still verify until the last token that they can have signed has run out.
 */
import { createPrivateKey, generateKeyPairSync, type KeyObject } from 'node:crypto';
import { mkdirSync, readdirSync, unlinkSync } from 'node:fs';
import { join } from 'node:path';
import { TOKEN_PROFILES } from '@airlock/contract/claims';
import { AppError } from '@airlock/contract/errors';
import type { ListedKey } from '@airlock/contract/ipc/token-service';
import { checkPrivateFolder, readPrivateFile, unusable, writePrivateFile } from './private-file.ts';
import { type KeyPair, keyPair, type SigningKeys } from './signing-keys.ts';

/** The first key. Later ones carry the epoch second from which they sign. */
export const SIGNING_KEY_FILE = 'token-signing.pem';
const FILE_NAME = /^token-signing(?:-(\d{10}))?\.pem$/;

/** A new key is published that long before it signs: replicas ask for keys every few seconds. @see control/src/tokens/keys.ts */
export const PUBLISHED_AHEAD_SECONDS = 20;
/** Longest life of any token, and what clocks may differ: later nothing that a former key signed can be valid. */
const KEPT_SECONDS = Math.max(...Object.values(TOKEN_PROFILES).map((each) => each.maxTtlSeconds)) + 600;
/** The folder is looked at again after this, ms. */
const RESCAN_MS = 2_000;
/** Each is tried for every token with its name only, but each costs memory, and a list that grows for ever is an accident. */
const MAX_KEYS = 32;

export type KeyFolder = {
  readonly keys: SigningKeys;
  /** Newest first. */
  readonly list: () => readonly ListedKey[];
  /** Makes the next key; it signs after `PUBLISHED_AHEAD_SECONDS`. @throws CONFLICT one waits already, or too many */
  readonly rotate: () => void;
  /** Forgets a key for good: its tokens are refused. @throws NOT_FOUND · CONFLICT it signs, and nothing else could */
  readonly retire: (kid: string) => void;
};

type StoredKey = { readonly file: string; readonly pair: KeyPair; readonly signsFrom: number };

/**
 * @param generate make the first key when there is none; only standalone says so.
 * @throws KEY_UNAVAILABLE no key, a key that others may read, one that is no Ed25519 key, a folder that is not ours
 */
export function openKeyFolder(options: {
  readonly folder: string;
  readonly generate: boolean;
  readonly nowMs: () => number;
  /** Told when the folder can't be read later on; what was read stays in use. */
  readonly warn: (text: string) => void;
}): KeyFolder {
  const { folder, nowMs } = options;
  const nowSeconds = () => Math.floor(nowMs() / 1000);
  const parsed = new Map<string, StoredKey>();

  /** Newest first. @throws KEY_UNAVAILABLE */
  const read = (): StoredKey[] => {
    const found: StoredKey[] = [];
    for (const file of namesOf(folder)) {
      const key = parsed.get(file) ?? readKey(folder, file);
      if (!key) continue; // retired between the two looks
      parsed.set(file, key);
      found.push(key);
    }
    for (const file of parsed.keys()) if (!found.some((key) => key.file === file)) parsed.delete(file);
    return found.sort((a, b) => b.signsFrom - a.signsFrom);
  };

  if (options.generate) mkdirSync(folder, { recursive: true, mode: 0o700 });
  let stored = read();
  if (stored.length === 0) {
    const path = join(folder, SIGNING_KEY_FILE);
    if (!options.generate) {
      throw unusable(`There is no signing key at ${path}.`, 'Put the deployment’s signing key there (mode 0600).');
    }
    checkPrivateFolder(folder);
    makeKey(path);
    stored = read();
    if (stored.length === 0) throw unusable(`The signing key at ${path} vanished while it was made.`, 'Start again.');
  }
  let readAtMs = nowMs();
  let published = publish(stored, nowSeconds());

  const refresh = (): void => {
    readAtMs = nowMs();
    try {
      const found = read();
      // An empty or unreadable folder is an accident, and no reason to fail what works.
      if (found.length > 0) stored = found;
    } catch (error) {
      options.warn(`The folder of signing keys can't be read again: ${(error as Error).message}`);
    }
    const next = publish(stored, nowSeconds());
    if (JSON.stringify(next) !== JSON.stringify(published)) published = next;
  };
  const upToDate = (): void => {
    if (Math.abs(nowMs() - readAtMs) >= RESCAN_MS) refresh();
  };
  const list = () => stored.map((key) => describe(key, stored, nowSeconds()));

  return {
    keys: {
      current: () => {
        upToDate();
        return signing(stored, nowSeconds()).pair;
      },
      verificationKeys: () => {
        upToDate();
        return published;
      },
      secret: null,
    },
    list: () => {
      refresh();
      return list();
    },
    rotate: () => {
      refresh();
      const now = nowSeconds();
      const waiting = stored.find((key) => key.signsFrom > now);
      if (waiting) {
        throw new AppError('CONFLICT', {
          public: `The key ${waiting.pair.kid} was made a moment ago and signs in ${waiting.signsFrom - now} s.`,
          remedy: 'Wait until it signs, then rotate again.',
        });
      }
      for (const { file } of expired(stored, now)) removeFile(join(folder, file));
      if (stored.length - expired(stored, now).length >= MAX_KEYS) {
        throw new AppError('CONFLICT', {
          public: `There are ${MAX_KEYS} keys already.`,
          remedy: 'Retire those that no token needs any more: airlock keys retire KID',
        });
      }
      makeKey(join(folder, `token-signing-${now + PUBLISHED_AHEAD_SECONDS}.pem`));
      refresh();
    },
    retire: (kid) => {
      refresh();
      const key = stored.find(({ pair }) => pair.kid === kid);
      if (!key) throw new AppError('NOT_FOUND', { public: `There is no key ${kid}.` });
      if (key === signing(stored, nowSeconds())) {
        throw new AppError('CONFLICT', {
          public: `The key ${kid} signs the tokens of now.`,
          remedy: `Run airlock keys rotate, and retire it ${PUBLISHED_AHEAD_SECONDS} s later.`,
        });
      }
      removeFile(join(folder, key.file));
      refresh();
    },
  };
}

/** @throws KEY_UNAVAILABLE the folder can't be read; a missing one has no keys */
function namesOf(folder: string): string[] {
  try {
    return readdirSync(folder).filter((name) => FILE_NAME.test(name));
  } catch (error) {
    const code = (error as NodeJS.ErrnoException).code;
    if (code === 'ENOENT') return [];
    throw unusable(`The folder of signing keys ${folder} can't be read (${code}).`, 'Make it a folder of this user.');
  }
}

function readKey(folder: string, file: string): StoredKey | null {
  const path = join(folder, file);
  const pem = readPrivateFile(path, false);
  if (pem === null) return null;
  const signsFrom = Number(FILE_NAME.exec(file)?.[1] ?? 0);
  let privateKey: KeyObject;
  try {
    privateKey = createPrivateKey({ key: pem, format: 'pem' });
    if (privateKey.asymmetricKeyType !== 'ed25519') throw new TypeError(privateKey.asymmetricKeyType);
  } catch {
    // The cause could quote the file.
    throw unusable(`The file ${path} holds no Ed25519 private key.`, 'Put an Ed25519 key in PKCS8 PEM there.');
  }
  return { file, signsFrom, pair: keyPair(privateKey, 'EdDSA', null) };
}

/** The key that signs. Where every second lies ahead, as after a clock was set back, the oldest does. */
function signing(keys: readonly StoredKey[], now: number): StoredKey {
  return keys.find((key) => key.signsFrom <= now) ?? keys.at(-1)!;
}

/** Former keys, of which every token has run out. */
function expired(keys: readonly StoredKey[], now: number): readonly StoredKey[] {
  const current = keys.indexOf(signing(keys, now));
  return keys.filter((_, at) => at > current && keys[at - 1]!.signsFrom + KEPT_SECONDS <= now);
}

function publish(keys: readonly StoredKey[], now: number) {
  const gone = expired(keys, now);
  const jwks = keys.filter((key) => !gone.includes(key)).map(({ pair }) => pair.jwk);
  return { jwks: { keys: jwks }, secret: null };
}

function describe(key: StoredKey, keys: readonly StoredKey[], now: number): ListedKey {
  const at = keys.indexOf(key);
  const current = keys.indexOf(signing(keys, now));
  const state =
    at === current ? 'signing' : at < current ? 'next' : expired(keys, now).includes(key) ? 'expired' : 'former';
  return {
    kid: key.pair.kid,
    alg: key.pair.alg,
    state,
    signs_from: key.signsFrom === 0 ? null : key.signsFrom,
    verifies_until: at > current ? keys[at - 1]!.signsFrom + KEPT_SECONDS : null,
  };
}

function makeKey(path: string): void {
  const pem = generateKeyPairSync('ed25519').privateKey.export({ format: 'pem', type: 'pkcs8' });
  writePrivateFile(path, pem as string);
}

function removeFile(path: string): void {
  try {
    unlinkSync(path);
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code !== 'ENOENT') throw error;
  }
}
