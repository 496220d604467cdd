/** `node tools/docs/configuration.ts`: prints docs/configuration.md from the option tables; `--write` writes it. A test compares the two. */
import { readFileSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { SECTIONS } from '../../contract/src/config/index.ts';
import type { OptionRow } from '../../contract/src/config/options.ts';
import { environmentName } from '../../contract/src/config/resolve.ts';

const file = join(import.meta.dirname, '../../docs/configuration.md');

const HEAD = `# Configuration

Made from the option tables in \`contract/src/config/\` by \`node tools/docs/configuration.ts --write\`; a test compares them.

Every option can be set in \`$AIRLOCK_HOME/airlock.cfg\` (INI: sections and keys as below) or in the environment. The first of these
that is set wins:

1. \`AIRLOCK__SECTION__KEY\`
2. \`AIRFLOW__SECTION__KEY\`
3. for options marked *secret*: \`AIRLOCK__SECTION__KEY_CMD\`, then \`AIRFLOW__…_CMD\`: a command whose output is the value
4. \`airlock.cfg\`; for options marked *secret* also \`key_cmd\` there
5. the default

\`_SECRET\` names a secrets backend; none is configured in this release, so such a variable is refused with a message.
\`$NAME\`, \`\${NAME}\` and a leading \`~\` in a value are replaced. \`AIRLOCK_DATABASE_URL\` is short for \`AIRLOCK__DATABASE__SQL_ALCHEMY_CONN\`.
\`AIRLOCK_HOME\` names the data folder (default \`~/airlock\`; \`/var/lib/airlock\` as root), \`AIRLOCK_CONFIG\` another file,
\`AIRLOCK_ADMIN_PASSWORD\` the first password of user \`admin\`. What is in force, and where it comes from: \`airlock config list\`.

*Readers* are the processes that are handed the value; no other process sees it under \`standalone\`.
`;

/** The default of an option as documents show it. Pure. */
export function shownDefault(row: OptionRow<unknown>): string {
  if (row.default === null) return 'unset';
  const text = Array.isArray(row.default) ? row.default.join(', ') : String(row.default);
  return text === '' ? 'empty' : `\`${text}\``;
}

const cell = (text: string): string => text.replaceAll('|', '\\|').replaceAll('\n', ' ');

/** The whole page. Pure. */
export function configurationPage(): string {
  const parts = [HEAD];
  for (const [section, table] of Object.entries(SECTIONS)) {
    parts.push(`## [${section}]\n\n| Option | Type | Default | Readers | Meaning |\n|---|---|---|---|---|`);
    for (const [key, described] of Object.entries(table)) {
      const row = described as OptionRow<unknown>;
      const type = row.choices ? row.choices.map((choice) => `\`${choice}\``).join(', ') : row.kind;
      const marks = [row.unit ?? '', row.sensitive ? '*secret*' : ''].filter((mark) => mark !== '').join(', ');
      const former = row.formerly?.length ? ` Formerly ${row.formerly.map((name) => `\`${name}\``).join(', ')}.` : '';
      parts.push(
        `| \`${key}\`<br>\`${environmentName('AIRLOCK', section, key)}\` | ${type}${marks ? `, ${marks}` : ''} | ${cell(shownDefault(row))} | ${row.readers.join(', ')} | ${cell(row.advice + former)} |`,
      );
    }
    parts.push('');
  }
  return parts.join('\n');
}

if (process.argv[1] === import.meta.filename) {
  const page = configurationPage();
  if (process.argv.includes('--write')) writeFileSync(file, page);
  else process.stdout.write(page);
  if (readFileSync(file, 'utf8') !== page) process.exitCode = 1;
}
