/**
 * Encryption at rest of connection passwords, connection extras and variable values. The only place that holds the key;
 * nothing here is reachable from a worker. AES-256-GCM; what a text belongs to is bound in, so that a row's secret can't be
 * moved to another row by whoever can write the table.
 * @see NIST SP 800-38D (nonce and tag sizes), RFC 5869 (the key of fingerprints); promise L29
 */
import { createCipheriv, createDecipheriv, createHash, createHmac, hkdfSync, randomBytes } from 'node:crypto';
import { AppError } from '@airlock/contract/errors';
import { openFernet } from './fernet.ts';

export type SecretBox = {
  /** Names of the configured keys; the first one seals. Empty: no encryption. */
  readonly keyIds: readonly string[];
  /** False when no key is configured: texts are then stored as they are. */
  readonly encrypts: boolean;
  /** `owner` names the column and row, such as `variable/NAME`. */
  readonly seal: (text: string, owner: string) => string;
  /** @throws KEY_UNAVAILABLE no configured key opens it */
  readonly open: (sealed: string, owner: string) => string;
  /** What Airflow has encrypted with one of the configured keys, in the clear; null = none of them has. */
  readonly openAirflows: (token: string) => string | null;
  /**
   * The same text gives the same fingerprint on every replica, and nobody without the key can try out what text it is of.
   * Without a configured key everybody can.
   */
  readonly fingerprint: (text: string, purpose: string) => string;
};

const VERSION = 'a1';
const NONCE_BYTES = 12;
const TAG_BYTES = 16;

type Key = { readonly id: string; readonly bytes: Buffer };

function readKeys(text: string): Key[] {
  return text
    .split(',')
    .map((part) => part.trim())
    .filter((part) => part !== '')
    .map((part) => {
      const bytes = Buffer.from(part, 'base64url');
      if (bytes.length !== 32) {
        throw new AppError('CONFIG_INVALID', {
          public: '[core] fernet_key holds a key that is not 32 bytes in base64url.',
        });
      }
      return { id: createHash('sha256').update(bytes).digest('base64url').slice(0, 8), bytes };
    });
}

/**
 * @param keys base64url keys of 32 bytes, separated by commas; the first one encrypts, all decrypt. Empty: no encryption.
 * @throws CONFIG_INVALID a key of another size
 */
export function createSecretBox(keys: string | null): SecretBox {
  const known = readKeys(keys ?? '');
  const first = known[0];
  const macKey = hkdfSync('sha256', first?.bytes ?? Buffer.alloc(32), '', 'airlock fingerprint', 32);
  const fingerprint: SecretBox['fingerprint'] = (text, purpose) =>
    createHmac('sha256', Buffer.from(macKey)).update(`${purpose}\0${text}`).digest('base64url');
  if (!first) {
    const refuse = (): never => {
      throw new AppError('KEY_UNAVAILABLE', { public: 'A stored secret can not be read now.' });
    };
    return { keyIds: [], encrypts: false, openAirflows: () => null, seal: (text) => text, open: refuse, fingerprint };
  }
  return {
    keyIds: known.map(({ id }) => id),
    encrypts: true,
    openAirflows: (token) =>
      openFernet(
        token,
        known.map(({ bytes }) => bytes),
      ),
    fingerprint,
    seal: (text, owner) => {
      const nonce = randomBytes(NONCE_BYTES);
      const cipher = createCipheriv('aes-256-gcm', first.bytes, nonce, { authTagLength: TAG_BYTES });
      cipher.setAAD(Buffer.from(owner));
      const body = Buffer.concat([cipher.update(text, 'utf8'), cipher.final(), cipher.getAuthTag()]);
      return [VERSION, first.id, nonce.toString('base64url'), body.toString('base64url')].join('.');
    },
    open: (sealed, owner) => {
      const [version, id, nonce, body] = sealed.split('.');
      const key = known.find((each) => each.id === id);
      const unreadable = (cause?: unknown) =>
        new AppError('KEY_UNAVAILABLE', {
          public: 'A stored secret can not be read now.',
          internal: { owner, id },
          cause,
        });
      if (version !== VERSION || !key || !nonce || !body) throw unreadable();
      try {
        const bytes = Buffer.from(body, 'base64url');
        const cipher = createDecipheriv('aes-256-gcm', key.bytes, Buffer.from(nonce, 'base64url'), {
          authTagLength: TAG_BYTES,
        });
        cipher.setAAD(Buffer.from(owner));
        cipher.setAuthTag(bytes.subarray(bytes.length - TAG_BYTES));
        return Buffer.concat([cipher.update(bytes.subarray(0, -TAG_BYTES)), cipher.final()]).toString('utf8');
      } catch (error) {
        throw unreadable(error);
      }
    },
  };
}
