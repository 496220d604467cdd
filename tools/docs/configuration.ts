/** `node tools/docs/configuration.ts`: prints docs/configuration.md from the option tables; `--write` writes it. A test compares the two. */
import { readFileSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { SECTIONS } from '../../contract/src/config/index.ts';
import { SENSITIVE_VARIABLES } from '../../contract/src/config/must-not-have.ts';
import { type OptionRow, PROCESS_KINDS, type ProcessKind } from '../../contract/src/config/options.ts';
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

After \`_CMD\` comes \`AIRLOCK__SECTION__KEY_SECRET\` (in the file \`key_secret\`): a name under which \`[secrets] backend\` has the value. \`airlock standalone\`, \`airlock api-server\` and \`airlock scheduler\` ask for it once, at their start; other processes refuse it. [secrets.md](secrets.md)

\`$NAME\`, \`\${NAME}\` and a leading \`~\` in a value are replaced, but not in what a command prints.
\`AIRLOCK_HOME\` names the data folder (default \`~/airlock\`; \`/var/lib/airlock\` as root), \`AIRLOCK_CONFIG\` another file,
\`AIRLOCK_ADMIN_PASSWORD\` the first password of user \`admin\`. What is in force, and where it comes from: \`airlock config list\`.

*Readers* are the processes that are handed the value; no other process sees it under \`standalone\`, whose children read neither file
nor environment. A wrong value ends the start with status 2 and a message that names option, value, place and what is allowed.
A name of an older release counts with a warning; so does one that nothing reads, with the option that was probably meant.
`;

const SENSITIVE_HEAD = `## Which process needs which sensitive value

A process that finds a sensitive value which it must not have, in its environment or in the file that it reads itself, does not
start and names it: **never** below. Where processes are started by hand on one machine, give each a file of its own with \`AIRLOCK_CONFIG\`.
\`standalone\` hands each value only to the processes that need it, and \`cli\` is the operator's own tool: both may see all.
`;

const HANDS_OVER: readonly ProcessKind[] = ['standalone', 'cli'];

function sensitiveTable(): string {
  const kinds = PROCESS_KINDS.filter((kind) => !HANDS_OVER.includes(kind));
  const rows: Array<readonly [string, readonly ProcessKind[]]> = Object.entries(SECTIONS).flatMap(([section, table]) =>
    Object.entries(table as Record<string, OptionRow<unknown>>)
      .filter(([, row]) => row.sensitive)
      .map(([key, row]) => [`\`[${section}] ${key}\``, row.readers] as const),
  );
  for (const [name, { readers, meaning }] of Object.entries(SENSITIVE_VARIABLES))
    rows.push([`\`${name}\`, ${meaning}`, readers]);
  const line = (cells: readonly string[]) => `| ${cells.join(' | ')} |`;
  return [
    SENSITIVE_HEAD,
    line(['Value', ...kinds]),
    `|${'---|'.repeat(kinds.length + 1)}`,
    ...rows.map(([what, readers]) =>
      line([what, ...kinds.map((kind) => (readers.includes(kind) ? 'yes' : '**never**'))]),
    ),
    '',
  ].join('\n');
}

/** The default of an option as documents show it. Pure. */
export function shownDefault(row: OptionRow<unknown>): string {
  if (row.default === null) return 'unset';
  const text = Array.isArray(row.default) ? row.default.join(', ') : String(row.default);
  return text === '' ? 'empty' : `\`${text}\``;
}

const cell = (text: string): string => text.replaceAll('|', '\\|').replaceAll('\n', ' ');

/** The whole page. Pure. */
export function configurationPage(): string {
  const parts = [HEAD, sensitiveTable()];
  for (const [section, table] of Object.entries(SECTIONS)) {
    parts.push(`## [${section}]\n\n| Option | Allowed | Default | Readers | Meaning |\n|---|---|---|---|---|`);
    for (const [key, described] of Object.entries(table)) {
      const row = described as OptionRow<unknown>;
      const allowed = row.choices ? `one of ${row.choices.map((choice) => `\`${choice}\``).join(', ')}` : row.allowed;
      const marks = [row.unit ?? '', row.sensitive ? '*secret*' : ''].filter((mark) => mark !== '').join(', ');
      const short = row.variable ? ` \`${row.variable}\` means the same.` : '';
      const former = row.formerly?.length ? ` Formerly ${row.formerly.map((name) => `\`${name}\``).join(', ')}.` : '';
      parts.push(
        `| \`${key}\`<br>\`${environmentName('AIRLOCK', section, key)}\` | ${cell(allowed)}${marks ? ` (${marks})` : ''} | ${cell(shownDefault(row))} | ${row.readers.join(', ')} | ${cell(row.advice + short + former)} |`,
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
