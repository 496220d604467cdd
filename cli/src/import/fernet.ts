/** Opens values that Airflow keeps encrypted in its tables. @see https://github.com/fernet/spec/blob/master/Spec.md */
import { createDecipheriv, createHmac, timingSafeEqual } from 'node:crypto';

const VERSION = 0x80;
/** Version, time and initial vector before the text; the signature after it. */
const HEAD = 25;
const SIGNATURE = 32;

/** Whether a text could be such a value: its version and a time of our century make the same six first letters. */
export function looksSealed(text: string): boolean {
  return /^gAAAAA[\w-]{92,}={0,2}$/.test(text);
}

/** One key of 32 bytes in base64url: half of it signs, half of it encrypts. Null when it is none. */
export function readFernetKey(text: string): Buffer | null {
  const trimmed = text.trim();
  return /^[\w-]{43}=?$/.test(trimmed) ? Buffer.from(trimmed, 'base64url') : null;
}

/** The text, or null when none of the keys fits or it was changed. */
export function openFernet(keys: readonly Buffer[], sealed: string): string | null {
  const bytes = Buffer.from(sealed, 'base64url');
  const length = bytes.length - HEAD - SIGNATURE;
  if (bytes[0] !== VERSION || length < 16 || length % 16 !== 0) return null;
  const signed = bytes.subarray(0, HEAD + length);
  for (const key of keys) {
    const expected = createHmac('sha256', key.subarray(0, 16)).update(signed).digest();
    if (!timingSafeEqual(expected, bytes.subarray(HEAD + length))) continue;
    const cipher = createDecipheriv('aes-128-cbc', key.subarray(16), bytes.subarray(9, HEAD));
    return Buffer.concat([cipher.update(signed.subarray(HEAD)), cipher.final()]).toString('utf8');
  }
  return null;
}
