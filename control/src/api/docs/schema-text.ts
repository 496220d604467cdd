/** A JSON schema as people read one: the way that TypeScript writes types, as HTML, with links to what has a name. Pure. */
import { escapeHtml } from '../http/page.ts';
import type { JsonSchema } from '../rest/openapi.ts';

const NAMED = '#/components/schemas/';

export const schemaAnchor = (name: string): string => `schema-${name}`;

function words(schema: JsonSchema): string {
  const bounds = [
    ['minimum', '≥ '],
    ['exclusiveMinimum', '> '],
    ['maximum', '≤ '],
    ['minLength', 'length ≥ '],
    ['maxLength', 'length ≤ '],
  ] as const;
  const shown = bounds.flatMap(([key, sign]) => (typeof schema[key] === 'number' ? [`${sign}${schema[key]}`] : []));
  if (typeof schema.format === 'string') shown.unshift(schema.format);
  return shown.length === 0 ? '' : ` <i>${escapeHtml(shown.join(', '))}</i>`;
}

function members(schema: JsonSchema, indent: string): string {
  const properties = Object.entries((schema.properties ?? {}) as Record<string, JsonSchema>);
  const required = new Set((schema.required ?? []) as string[]);
  const inner = `${indent}  `;
  const lines = properties.map(([name, value]) => {
    return `${inner}${escapeHtml(name)}${required.has(name) ? '' : '?'}: ${schemaHtml(value, inner)}`;
  });
  return `{\n${lines.join('\n')}\n${indent}}`;
}

/** @param indent of the line that it stands in */
export function schemaHtml(schema: JsonSchema, indent = ''): string {
  const { $ref, anyOf, oneOf, enum: choices, type } = schema;
  if (typeof $ref === 'string') {
    const name = escapeHtml($ref.replace(NAMED, ''));
    return `<a href="#${schemaAnchor(name)}">${name}</a>`;
  }
  const branches = (anyOf ?? oneOf) as JsonSchema[] | undefined;
  if (branches) return [...new Set(branches.map((each) => schemaHtml(each, indent)))].join(' | ');
  if (Array.isArray(choices)) return choices.map((each) => escapeHtml(JSON.stringify(each))).join(' | ');
  if ('const' in schema) return escapeHtml(JSON.stringify(schema.const));
  if (Array.isArray(type)) return type.map((each) => schemaHtml({ ...schema, type: each }, indent)).join(' | ');
  if (Array.isArray(schema.prefixItems)) {
    return `[${(schema.prefixItems as JsonSchema[]).map((each) => schemaHtml(each, indent)).join(', ')}]`;
  }
  if (type === 'array') {
    const item = schemaHtml((schema.items ?? {}) as JsonSchema, indent);
    return item.includes(' | ') ? `(${item})[]` : `${item}[]`;
  }
  if (type === 'object' && schema.properties !== undefined) return members(schema, indent);
  if (type === 'object') {
    const of = schema.additionalProperties;
    return `{ [name]: ${typeof of === 'object' ? schemaHtml(of as JsonSchema, indent) : 'any'} }`;
  }
  return typeof type === 'string' ? `${escapeHtml(type)}${words(schema)}` : 'any';
}
