/**
 * Reads what Airflow has encrypted: a Fernet token, with the keys of its `[core] fernet_key`, which have our size and form. We
 * write none: nothing binds such a text to the row that it belongs to.
 * @see the Fernet specification: version 0x80, time, IV, AES-128-CBC, HMAC-SHA256 over all before it
 */
import { createDecipheriv, createHmac, timingSafeEqual } from 'node:crypto';

const VERSION = 0x80;
const HEADER_BYTES = 1 + 8 + 16;
const MAC_BYTES = 32;

/** @param keys 32 bytes each: 16 that sign, 16 that encrypt. @returns null = none of them made it, or it was changed */
export function openFernet(token: string, keys: readonly Buffer[]): string | null {
  if (!/^[A-Za-z0-9_-]+={0,2}$/.test(token)) return null;
  const bytes = Buffer.from(token, 'base64url');
  const bodyBytes = bytes.length - HEADER_BYTES - MAC_BYTES;
  if (bytes[0] !== VERSION || bodyBytes < 16 || bodyBytes % 16 !== 0) return null;
  const signed = bytes.subarray(0, -MAC_BYTES);
  const key = keys.find((each) =>
    timingSafeEqual(createHmac('sha256', each.subarray(0, 16)).update(signed).digest(), bytes.subarray(-MAC_BYTES)),
  );
  if (!key) return null;
  const cipher = createDecipheriv('aes-128-cbc', key.subarray(16), bytes.subarray(9, HEADER_BYTES));
  try {
    return Buffer.concat([cipher.update(signed.subarray(HEADER_BYTES)), cipher.final()]).toString('utf8');
  } catch {
    return null;
  }
}
