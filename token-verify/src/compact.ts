import { MAX_TOKEN_BYTES } from '@airlock/contract/claims';

/** A compact JWS, split and decoded. Nothing in here is proven yet. */
export type UnverifiedJws = {
  readonly header: Readonly<Record<string, unknown>>;
  readonly payloadText: string;
  readonly signature: Buffer;
  /** The bytes that were signed. */
  readonly signingInput: string;
};

const COMPACT = /^([A-Za-z0-9_-]{2,})\.([A-Za-z0-9_-]*)\.([A-Za-z0-9_-]{2,})$/;

/**
 * Splits a compact JWS. Only canonical base64url passes, so that one signed statement has one text.
 * @returns null for anything else: too long, other part counts, padding, no signature, a header that is no JSON object.
 * @see RFC 7515 3.1, RFC 4648 3.5 (canonical encoding)
 */
export function splitCompact(compact: string): UnverifiedJws | null {
  if (compact.length > MAX_TOKEN_BYTES) return null;
  const parts = COMPACT.exec(compact);
  if (!parts) return null;
  const [, headerPart, payloadPart, signaturePart] = parts as unknown as [string, string, string, string];
  const signature = canonical(signaturePart);
  const headerText = canonical(headerPart)?.toString('utf8');
  const payloadText = canonical(payloadPart)?.toString('utf8');
  if (!signature || headerText === undefined || payloadText === undefined) return null;
  const header = parseObject(headerText);
  return header && { header, payloadText, signature, signingInput: `${headerPart}.${payloadPart}` };
}

/** @returns null when the text is not a JSON object. */
export function parseObject(text: string): Record<string, unknown> | null {
  try {
    const value: unknown = JSON.parse(text);
    return typeof value === 'object' && value !== null && !Array.isArray(value)
      ? (value as Record<string, unknown>)
      : null;
  } catch {
    return null;
  }
}

function canonical(part: string): Buffer | null {
  const bytes = Buffer.from(part, 'base64url');
  return bytes.toString('base64url') === part ? bytes : null;
}
