/** The configuration that is in force, as people with the right to see it read it; a secret is never among it. @see rest-api 5.16 */
import { AppError } from '@airlock/contract/errors';
import { z } from '@airlock/contract/schema';
import { parseQuery } from '../http/validation.ts';
import { wire } from '../http/wire.ts';
import { optionalOne } from './list-query.ts';
import { negotiate } from './negotiate.ts';
import type { RestContext, RestRoute } from './route.ts';

type Section = {
  readonly name: string;
  readonly options: ReadonlyArray<{ readonly key: string; readonly value: string }>;
};

function requireExposed({ deps }: RestContext): void {
  if (deps.config.api.expose_config !== 'False') return;
  throw new AppError('FORBIDDEN', {
    public: 'Your Airflow administrator chose not to expose the configuration, most likely for security reasons.',
    remedy: 'Ask an administrator to set [api] expose_config.',
  });
}

/** As the file has it: a value on several lines is indented. */
function iniText(sections: readonly Section[]): string {
  return sections
    .map(({ name, options }) => {
      const lines = options.map(({ key, value }) => `${key} = ${value.replaceAll('\n', '\n  ')}`);
      return [`[${name}]`, ...lines, ''].join('\n');
    })
    .join('\n');
}

function answer(context: RestContext, sections: readonly Section[]): unknown {
  if (negotiate(context.request.headers.accept, 'text/plain') === 'json') return { sections };
  return context.reply.header('content-type', 'text/plain; charset=utf-8').send(iniText(sections));
}

const query = z.object({ section: optionalOne(wire.text({ max: 200 })) });

async function configuration(context: RestContext): Promise<unknown> {
  const { section } = parseQuery(query, context.request);
  requireExposed(context);
  const { shownConfig } = context.deps;
  if (section !== undefined && !Object.hasOwn(shownConfig, section))
    throw new AppError('NOT_FOUND', { public: `Section ${section} not found.` });
  const sections = Object.entries(shownConfig)
    .filter(([name]) => (section ?? name) === name)
    .map(([name, options]) => ({
      name,
      options: Object.entries(options).map(([key, value]) => ({ key, value })),
    }));
  return answer(context, sections);
}

async function option(context: RestContext): Promise<unknown> {
  requireExposed(context);
  const section = context.param('section').toLowerCase();
  const key = context.param('option').toLowerCase();
  const { shownConfig } = context.deps;
  const value = Object.hasOwn(shownConfig, section)
    ? new Map(Object.entries(shownConfig[section]!)).get(key)
    : undefined;
  if (value === undefined) throw new AppError('NOT_FOUND', { public: `Option [${section}/${key}] not found.` });
  return answer(context, [{ name: section, options: [{ key, value }] }]);
}

export const configurationRoutes: RestRoute[] = [
  { method: 'GET', path: '/config', handle: configuration, query },
  { method: 'GET', path: '/config/section/:section/option/:option', handle: option },
];
