/** `node tools/docs/cli.ts --write`: renews the reference part of docs/cli.md from the commands themselves. A test compares the two. */
import { readFileSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import type { Context } from '../../cli/src/context.ts';
import { createProgram } from '../../cli/src/program.ts';

const file = join(import.meta.dirname, '../../docs/cli.md');
type Command = ReturnType<typeof createProgram>;

export const REFERENCE_BEGINS = '<!-- reference: made from cli/src by tools/docs/cli.ts -->';

/** Every command that does something, with its options. Pure. */
export function cliReference(): string {
  const lines: string[] = [];
  const visit = (command: Command, path: string) => {
    const inner = (command.commands as readonly Command[]).filter((each) => each.name() !== 'help');
    for (const each of inner) visit(each, `${path} ${each.name()}`);
    if (inner.length > 0 || path === 'airlock') return;
    const args = command.registeredArguments.map((argument) => {
      const name = `${argument.name()}${argument.variadic ? '...' : ''}`;
      return argument.required ? `<${name}>` : `[${name}]`;
    });
    lines.push(`### \`${[path, ...args].join(' ')}\``, '', `${capital(command.description())}.`, '');
    const options = command.options.filter((option) => !option.hidden);
    for (const option of options) {
      const fallback =
        option.defaultValue === undefined || option.defaultValue === false
          ? ''
          : ` (default ${String(option.defaultValue)})`;
      const choices = option.argChoices ? `: ${option.argChoices.join(', ')}` : '';
      lines.push(
        `- \`${option.flags}\` ${option.description}${choices}${fallback}${option.mandatory ? '; required' : ''}`,
      );
    }
    if (options.length > 0) lines.push('');
  };
  visit(createProgram({} as Context, ''), 'airlock');
  return lines.join('\n');
}

const capital = (text: string): string => text.charAt(0).toUpperCase() + text.slice(1);

if (process.argv[1] === import.meta.filename && process.argv.includes('--write')) {
  const [head] = readFileSync(file, 'utf8').split(REFERENCE_BEGINS);
  writeFileSync(file, `${head}${REFERENCE_BEGINS}\n\n${cliReference()}`);
}
