/**
 * `node tools/docs/inserts.ts --write`: renews the tables that documents take from the code. A page asks for one by
 * `<!-- table: NAME ARGUMENTS -->`; what stands between that line and `<!-- end of table -->` is made here. A test compares.
 */
import { globSync, readFileSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { TOKEN_PROFILES } from '../../contract/src/claims.ts';
import { SECTIONS } from '../../contract/src/config/index.ts';
import type { OptionRow } from '../../contract/src/config/options.ts';
import { BOUNDS } from '../../control/src/scheduler/bounds.ts';
import { shownDefault } from './configuration.ts';

const root = join(import.meta.dirname, '../..');
const INSERT = /<!-- table: ([a-z-]+)((?: [^\s]+)*) -->\n[\s\S]*?<!-- end of table -->/g;

const cell = (text: string): string => text.replaceAll('|', '\\|').replaceAll('\n', ' ');
const table = (head: readonly string[], rows: readonly (readonly string[])[]): string =>
  [
    `| ${head.join(' | ')} |`,
    `|${head.map(() => '---|').join('')}`,
    ...rows.map((row) => `| ${row.join(' | ')} |`),
  ].join('\n');

const makers: Readonly<Record<string, (args: readonly string[]) => string>> = {
  /** Arguments: sections, or `section.key`. */
  options(args) {
    const rows = args.flatMap((wanted) => {
      const [section = '', key] = wanted.split('.');
      const described = SECTIONS[section as keyof typeof SECTIONS] as Record<string, OptionRow<unknown>> | undefined;
      const names = key === undefined ? Object.keys(described ?? {}) : [key];
      if (!described || names.some((name) => !described[name])) throw new TypeError(`There is no option ${wanted}.`);
      return names.map((name) => {
        const row = described[name]!;
        const unit = row.unit ? ` ${row.unit}` : '';
        return [
          `\`[${section}] ${name}\``,
          `${cell(shownDefault(row))}${row.default === null ? '' : unit}`,
          row.readers.join(', '),
          cell(row.advice),
        ];
      });
    });
    return table(['Option', 'Default', 'Readers', 'Meaning'], rows);
  },

  bounds: () =>
    table(
      ['Stuck', 'Found by', 'Within', 'Then', 'Measured in'],
      BOUNDS.map(({ stuck, owner, bound, outcome, test: [file] }) => [
        stuck,
        owner,
        bound.replace(/`\[([a-z_]+)\] ([a-z_]+)`/g, (shown, section: string, name: string) => {
          const row = (SECTIONS[section as keyof typeof SECTIONS] as Record<string, OptionRow<unknown>> | undefined)?.[
            name
          ];
          if (!row) throw new TypeError(`There is no option ${shown}.`);
          return `${shown} (${shownDefault(row).replaceAll('`', '')} s)`;
        }),
        outcome,
        `\`${file}\``,
      ]),
    ),

  'token-kinds': () =>
    table(
      ['Kind', '`typ`', 'Claims', 'The signer grants at most'],
      Object.entries(TOKEN_PROFILES).map(([kind, { typ, claims, maxTtlSeconds }]) => [
        kind,
        `\`${typ}\``,
        Object.entries(claims.shape)
          .map(([name, shape]) => `\`${name}\`${shape.safeParse(undefined).success ? '?' : ''}`)
          .join(' '),
        `${maxTtlSeconds} s`,
      ]),
    ),
};

/** A page with its tables as the code gives them. Pure. @throws TypeError when a page asks for a table that nobody makes */
export function withTables(page: string): string {
  return page.replace(INSERT, (_, name: string, args: string) => {
    const make = makers[name];
    if (!make) throw new TypeError(`There is no table called ${name}.`);
    return `<!-- table: ${name}${args} -->\n\n${make(args.split(' ').filter(Boolean))}\n\n<!-- end of table -->`;
  });
}

/** Pages that may ask for tables, relative to the root. */
export const pagesWithTables = (): string[] => globSync(['*.md', 'docs/**/*.md'], { cwd: root });

if (process.argv[1] === import.meta.filename && process.argv.includes('--write')) {
  for (const path of pagesWithTables()) {
    const page = readFileSync(join(root, path), 'utf8');
    if (withTables(page) !== page) writeFileSync(join(root, path), withTables(page));
  }
}
