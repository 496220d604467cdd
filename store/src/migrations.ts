/** The numbered SQL files, and the grants of each role. */
import { createHash } from 'node:crypto';
import { readdirSync, readFileSync } from 'node:fs';

export type Migration = {
  /** 1, 2, 3, … without gaps. */
  readonly version: number;
  readonly name: string;
  readonly sql: string;
  /** SHA-256 of the file, hex. A file that was applied never changes. */
  readonly checksum: string;
};

export type RoleGrants = {
  readonly role: string;
  /** Run as it is: everything the role may do, after everything was taken from it. */
  readonly sql: string;
  readonly checksum: string;
};

const MIGRATIONS = new URL('../migrations/', import.meta.url);
const GRANTS = new URL('../grants/', import.meta.url);

function read(folder: URL, name: string): { sql: string; checksum: string } {
  const sql = readFileSync(new URL(name, folder), 'utf8');
  return { sql, checksum: createHash('sha256').update(sql).digest('hex') };
}

/** All migrations in order. @throws Error when the numbering has a gap or a file has another name: a broken installation */
export function loadMigrations(): Migration[] {
  return readdirSync(MIGRATIONS)
    .sort()
    .map((name, index) => {
      const match = /^(\d{4})_[a-z0-9_]+\.sql$/.exec(name);
      if (!match || Number(match[1]) !== index + 1) throw new Error(`unexpected file among the migrations: ${name}`);
      return { version: index + 1, name: name.slice(0, -4), ...read(MIGRATIONS, name) };
    });
}

/** One entry per role: the file's name is the role's. */
export function loadGrants(): RoleGrants[] {
  return readdirSync(GRANTS)
    .sort()
    .map((name) => ({ role: name.replace(/\.sql$/, ''), ...read(GRANTS, name) }));
}
