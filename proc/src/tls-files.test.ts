import assert from 'node:assert/strict';
import { chmodSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { test } from 'node:test';
import { tempHome } from '../../tests/kit/temp-home.ts';
import { testCertificate } from '../../tests/kit/tls.ts';
import { readTls } from './tls-files.ts';

test('a certificate and its key are read; half of them is none', () => {
  using home = tempHome();
  const own = testCertificate(home.path);
  const tls = readTls({ ssl_cert: own.certificatePath, ssl_key: own.keyPath })!;
  assert.equal(tls.certificate, own.certificate);
  assert.match(tls.key, /PRIVATE KEY/);
  assert.equal(readTls({ ssl_cert: null, ssl_key: null }), null);
});

test('each file that is no use is refused with option and path, and nothing of a key is shown', () => {
  using home = tempHome();
  const own = testCertificate(home.path);
  const other = testCertificate(home.path, 'other');
  const junk = join(home.path, 'junk');
  writeFileSync(junk, '-----BEGIN PRIVATE KEY-----\nplanted\n-----END PRIVATE KEY-----\n', { mode: 0o600 });
  const absent = join(home.path, 'absent');
  const refused = (ssl_cert: string, ssl_key: string, message: RegExp) =>
    assert.throws(
      () => readTls({ ssl_cert, ssl_key }),
      (error: Error & { code?: string }) => {
        assert.equal(error.code, 'CONFIG_INVALID');
        assert.match(error.message, message);
        assert.ok(!error.message.includes('planted'));
        return true;
      },
    );
  refused(absent, own.keyPath, /^\[api\] ssl_cert: .*absent can't be read: /);
  refused(own.certificatePath, absent, /^\[api\] ssl_key: .*absent can't be read: /);
  refused(own.keyPath, own.keyPath, /^\[api\] ssl_cert: .* holds no certificate in PEM\.$/);
  refused(own.certificatePath, own.certificatePath.replace('server', 'other'), /may be read by everybody/);
  refused(own.certificatePath, junk, /^\[api\] ssl_key: .* holds no private key in PEM/);
  refused(own.certificatePath, other.keyPath, /is not the key of .*server\.pem\.$/);
  chmodSync(own.keyPath, 0o604);
  refused(own.certificatePath, own.keyPath, /^\[api\] ssl_key: .* may be read by everybody\.$/);
  chmodSync(own.keyPath, 0o640);
  assert.ok(readTls({ ssl_cert: own.certificatePath, ssl_key: own.keyPath }), 'a group may read it');
});
