/**
 * The process token-service: the only one that holds the signing key. It answers one local socket and opens no other.
 * Its memory is closed to other processes of its user before the key is read.
 */
import { becomeNonDumpable } from '@airlock/proc/native/process';

becomeNonDumpable();
const { runTokenService } = await import('../src/main.ts');
await runTokenService();
