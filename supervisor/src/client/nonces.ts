/**
 * Which server process a proof names. One that names the process which it reaches costs that process nothing to remember;
 * with several behind one address it is a guess, so a wrong one makes us name nobody for a while.
 * @see RFC 9449 8; decision 0015
 */
import { PROOF_NONCE } from '@airlock/contract/proof';

/** How long nobody is named after a wrong guess. */
const DOUBT_MS = 60_000;

type Headers = Readonly<Record<string, string | string[] | undefined>>;

export type Nonces = {
  /** What the next proof names; undefined = nobody. */
  readonly current: () => string | undefined;
  /** Takes over the `DPoP-Nonce` of an answer. Untrusted: at worst a guess is wrong. */
  readonly heard: (headers: Headers) => void;
  /** A guess was wrong: nobody is named for a while. */
  readonly doubt: () => void;
};

export function createNonces(nowMs: () => number): Nonces {
  let nonce: string | undefined;
  let doubtUntilMs = 0;
  return {
    current: () => nonce,
    heard: ({ 'dpop-nonce': header }) => {
      if (typeof header === 'string' && PROOF_NONCE.test(header) && nowMs() >= doubtUntilMs) nonce = header;
    },
    doubt: () => {
      nonce = undefined;
      doubtUntilMs = nowMs() + DOUBT_MS;
    },
  };
}

/** Whether an answer says only that the proof named another process: the request was not looked at any further. */
export function isWrongNonce(answer: { readonly status: number; readonly headers: Headers }): boolean {
  return answer.status === 401 && String(answer.headers['www-authenticate']).includes('use_dpop_nonce');
}
