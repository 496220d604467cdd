/**
 * The process `migrate`: brings the database to this release's schema, and ends. Its memory is closed to other processes of
 * its user before it is told anything: it will hold the password of the role that owns the tables.
 */
import { becomeNonDumpable } from '@airlock/proc/native/process';

becomeNonDumpable();
const { runMigrate } = await import('../src/migrate-main.ts');
await runMigrate();
