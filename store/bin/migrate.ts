/** The process `migrate`: brings the database to this release's schema, and ends. */
import { runMigrate } from '../src/migrate-main.ts';

await runMigrate();
