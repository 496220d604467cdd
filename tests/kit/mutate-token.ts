/** Wrong tokens made from right ones, in the ways in which tokens have been forged, and at random. */
import type { Random } from './seed.ts';

const ALPHABET = 'ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_';
const ODD = ['=', '+', '/', ' ', '.', '?', '~', '%2e', 'é'];
const ALGORITHMS = [
  'none',
  'None',
  '',
  'EdDSA',
  'eddsa',
  'RS256',
  'RS512',
  'ES256',
  'HS256',
  'HS384',
  'HS512',
  'PS256',
  'ES512',
];
const STRANGE: readonly unknown[] = [
  null,
  true,
  0,
  -1,
  1.5,
  1e308,
  2 ** 53,
  '',
  'x',
  [],
  ['a', 'b'],
  {},
  { jkt: 'x' },
  '\0',
  'admin',
];
const CLAIMS = ['iss', 'aud', 'sub', 'scope', 'jti', 'iat', 'nbf', 'exp', 'cnf', 'role', '__proto__', 'constructor'];
const HEADERS = ['alg', 'kid', 'typ', 'crit', 'b64', 'jwk', 'jku', 'x5u', 'x5c', 'zip', 'enc', '__proto__'];

type Parts = [header: string, payload: string, signature: string];
const encode = (value: string): string => Buffer.from(value).toString('base64url');
const decode = (part: string): string => Buffer.from(part, 'base64url').toString();

/**
 * One wrong token: never the text of any of `tokens`.
 * @param tokens right tokens, at least two, of which one is changed and another may lend a part.
 */
export function mutateToken(random: Random, tokens: readonly string[]): string {
  const token = random.pick(tokens);
  for (;;) {
    const wrong = random.pick(WAYS)(token, random, tokens);
    if (!tokens.includes(wrong)) return wrong;
  }
}

type Way = (token: string, random: Random, tokens: readonly string[]) => string;
const splice = (text: string, at: number, drop: number, put: string) => text.slice(0, at) + put + text.slice(at + drop);
const partsOf = (token: string): Parts => token.split('.') as Parts;
/** Another JSON member in header or payload; the signature stays what it was. */
const edit =
  (which: 0 | 1, names: readonly string[], values: (random: Random) => unknown): Way =>
  (token, random) => {
    const parts = partsOf(token);
    const object = JSON.parse(decode(parts[which])) as Record<string, unknown>;
    const name = random.pick(names);
    const members = Object.entries(object).filter(([key]) => key !== name);
    const value = JSON.stringify(values(random));
    const text = members.map(([key, each]) => `${JSON.stringify(key)}:${JSON.stringify(each)}`);
    if (random.below(5) > 0) text.push(`${JSON.stringify(name)}:${value}`);
    // Sometimes twice: readers differ in which one counts.
    if (random.below(5) === 0) text.push(`${JSON.stringify(name)}:${value}`);
    parts[which] = encode(`{${text.join()}}`);
    return parts.join('.');
  };

const WAYS: readonly Way[] = [
  // At random places of the text.
  (token, random) => splice(token, random.below(token.length), 1, random.pick([...ALPHABET])),
  (token, random) => splice(token, random.below(token.length), 1, random.pick(ODD)),
  (token, random) => splice(token, random.below(token.length + 1), 0, random.pick([...ALPHABET, ...ODD])),
  (token, random) => splice(token, random.below(token.length), 1 + random.below(8), ''),
  (token, random) => token.slice(0, random.below(token.length)),
  (token, random) => token.repeat(2 + random.below(12)),
  (token, random) =>
    random.pick(['', '.', '..', '...', 'a.b.c', token.toUpperCase(), `${token}.`, `.${token}`, `${token}.${token}`]),
  // One bit of one decoded part.
  (token, random) => {
    const parts = partsOf(token);
    const which = random.below(3);
    const bytes = Buffer.from(parts[which]!, 'base64url');
    const at = random.below(bytes.length);
    bytes[at] = bytes[at]! ^ (1 << random.below(8));
    parts[which] = bytes.toString('base64url');
    return parts.join('.');
  },
  // A part of another token, or none.
  (token, random, tokens) => {
    const parts = partsOf(token);
    const which = random.below(3);
    parts[which] = partsOf(random.pick(tokens))[which]!;
    return parts.join('.');
  },
  (token, random) => {
    const parts = partsOf(token);
    parts[random.below(3)] = random.pick(['', 'AA', 'e30', 'bnVsbA', 'W10', encode('"x"'), 'A'.repeat(5000)]);
    return parts.join('.');
  },
  // The same bytes in another base64: padded, or with the bits that nobody reads.
  (token, random) => {
    const parts = partsOf(token);
    const which = random.below(3);
    parts[which] += random.pick(['=', '==', 'A', '\n']);
    return parts.join('.');
  },
  edit(0, ['alg'], (random) => random.pick(ALGORITHMS)),
  edit(0, HEADERS, (random) => random.pick(STRANGE)),
  edit(1, CLAIMS, (random) => random.pick(STRANGE)),
  edit(1, ['exp', 'nbf', 'iat'], (random) => random.below(2 ** 32)),
];
