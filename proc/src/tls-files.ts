/** The certificate of the API server and its key, read once by whoever has them and checked before anything listens. */
import { createPrivateKey, X509Certificate } from 'node:crypto';
import { readFileSync, statSync } from 'node:fs';
import { AppError } from '@airlock/contract/errors';

/** PEM texts: the certificate with its chain, and its private key. */
export type TlsFiles = { readonly certificate: string; readonly key: string };

function wrong(option: string, path: string, what: string, cause?: unknown): AppError {
  return new AppError('CONFIG_INVALID', {
    public: `[api] ${option}: ${path} ${what}.`,
    remedy:
      'Give the PEM files of one certificate and its key; the key without a passphrase, and not readable by everybody.',
    cause,
  });
}

/** A PEM file with at least one certificate. @throws CONFIG_INVALID */
export function readCertificates(option: string, path: string): string {
  let text: string;
  try {
    text = readFileSync(path, 'utf8');
  } catch (cause) {
    throw wrong(option, path, `can't be read: ${(cause as Error).message}`, cause);
  }
  try {
    new X509Certificate(text);
  } catch (cause) {
    throw wrong(option, path, 'holds no certificate in PEM', cause);
  }
  return text;
}

/** Null when TLS is not configured. @throws CONFIG_INVALID files that can't be read, are no pair, or show the key to all */
export function readTls(api: { readonly ssl_cert: string | null; readonly ssl_key: string | null }): TlsFiles | null {
  if (api.ssl_cert === null || api.ssl_key === null) return null;
  const certificate = readCertificates('ssl_cert', api.ssl_cert);
  let key: string;
  try {
    if ((statSync(api.ssl_key).mode & 0o007) !== 0) throw wrong('ssl_key', api.ssl_key, 'may be read by everybody');
    key = readFileSync(api.ssl_key, 'utf8');
  } catch (cause) {
    if (cause instanceof AppError) throw cause;
    throw wrong('ssl_key', api.ssl_key, `can't be read: ${(cause as Error).message}`, cause);
  }
  let belongs: boolean;
  try {
    belongs = new X509Certificate(certificate).checkPrivateKey(createPrivateKey(key));
  } catch {
    // The cause could quote the file.
    throw wrong('ssl_key', api.ssl_key, 'holds no private key in PEM, or one with a passphrase');
  }
  if (!belongs) throw wrong('ssl_key', api.ssl_key, `is not the key of ${api.ssl_cert}`);
  return { certificate, key };
}
