/** A certificate that signs itself, for servers on loopback: made for the test, valid for a day, nothing kept. */
import { generateKeyPairSync, randomBytes, sign } from 'node:crypto';

export type SelfSigned = {
  /** PEM; also what a client must trust. */
  readonly cert: string;
  /** PEM. */
  readonly key: string;
};

const DAY_MS = 86_400_000;
const ECDSA_WITH_SHA256 = '06082a8648ce3d040302';
const COMMON_NAME = '0603550403';
const BASIC_CONSTRAINTS = '0603551d13';
const SUBJECT_ALT_NAME = '0603551d11';

/** DER: one tag with its length and content. */
function der(tag: number, ...parts: ReadonlyArray<Buffer | string>): Buffer {
  const content = Buffer.concat(parts.map((part) => (typeof part === 'string' ? Buffer.from(part, 'hex') : part)));
  const { length } = content;
  const size = length < 128 ? [length] : length < 256 ? [0x81, length] : [0x82, length >> 8, length & 0xff];
  return Buffer.concat([Buffer.from([tag, ...size]), content]);
}
const sequence = (...parts: ReadonlyArray<Buffer | string>) => der(0x30, ...parts);
const bits = (content: Buffer) => der(0x03, '00', content);
const utcTime = (ms: number) =>
  der(0x17, Buffer.from(`${new Date(ms).toISOString().slice(2, 19).replaceAll(/[-:T]/g, '')}Z`));

/** For 127.0.0.1 and localhost. @see RFC 5280 4.1 */
export function selfSigned(nowMs: number = Date.now()): SelfSigned {
  const { publicKey, privateKey } = generateKeyPairSync('ec', { namedCurve: 'P-256' });
  const algorithm = sequence(ECDSA_WITH_SHA256);
  const name = sequence(der(0x31, sequence(COMMON_NAME, der(0x0c, Buffer.from('airlock test')))));
  const altNames = sequence(der(0x82, Buffer.from('localhost')), der(0x87, '7f000001'));
  const body = sequence(
    der(0xa0, der(0x02, '02')),
    der(0x02, '01', randomBytes(8)),
    algorithm,
    name,
    sequence(utcTime(nowMs - DAY_MS), utcTime(nowMs + DAY_MS)),
    name,
    publicKey.export({ format: 'der', type: 'spki' }),
    der(
      0xa3,
      sequence(
        sequence(BASIC_CONSTRAINTS, der(0x01, 'ff'), der(0x04, sequence(der(0x01, 'ff')))),
        sequence(SUBJECT_ALT_NAME, der(0x04, altNames)),
      ),
    ),
  );
  const certificate = sequence(body, algorithm, bits(sign('sha256', body, privateKey)));
  const lines = certificate.toString('base64').match(/.{1,64}/g)!;
  return {
    cert: `-----BEGIN CERTIFICATE-----\n${lines.join('\n')}\n-----END CERTIFICATE-----\n`,
    key: privateKey.export({ format: 'pem', type: 'pkcs8' }) as string,
  };
}
