/** What one source file asks for: its imports of every form, and the powers that come without an import. Pure. */
import { parseSync } from 'oxc-parser';

export type Edge = {
  readonly specifier: string;
  readonly kind: 'import' | 'type' | 'dynamic' | 'require' | 'worker';
  readonly line: number;
};
/** Something that an import list does not show. `what` is stable: the table's exceptions quote it. */
export type Power = { readonly what: string; readonly line: number };
export type Facts = {
  readonly edges: readonly Edge[];
  readonly powers: readonly Power[];
  /**
   * Process entries that stand in string literals: `package/bin/name.ts`; `./bin/name.ts` = of the file's own package; and
   * `*` in place of the package where a folder is put before it elsewhere.
   */
  readonly entriesNamed: readonly string[];
  /** Messages of the parser; a file that it can't read proves nothing. */
  readonly errors: readonly string[];
};

/** Powers without an import. Everything else in `Power.what` is refused everywhere in our sources. */
export const GLOBAL_POWERS = ['process.env', 'fetch', 'WebSocket', 'process.execve', 'process.kill'] as const;

type Node = { readonly type: string; readonly start: number; readonly [key: string]: unknown };

function isNode(value: unknown): value is Node {
  return typeof value === 'object' && value !== null && typeof (value as { type?: unknown }).type === 'string';
}

function* childrenOf(node: Node): Generator<Node> {
  for (const key in node) {
    const value = node[key];
    if (Array.isArray(value)) {
      for (const item of value) if (isNode(item)) yield item;
    } else if (isNode(value)) yield value;
  }
}

/** The text of a string literal or of a template without holes. */
function textOf(node: unknown): string | null {
  if (!isNode(node)) return null;
  if (node.type === 'Literal' && typeof node.value === 'string') return node.value;
  if (node.type === 'TemplateLiteral' && (node.expressions as unknown[]).length === 0) {
    return (node.quasis as Array<{ value: { cooked: string } }>)[0]!.value.cooked;
  }
  return null;
}

/** `a.b` as text for a member access with a plain or literal name. */
function memberText(node: Node): string | null {
  if (node.type !== 'MemberExpression') return null;
  const object = node.object as Node;
  const property = node.property as Node;
  const name = node.computed === true ? textOf(property) : (property.name as string);
  if (object.type === 'Identifier') return `${object.name as string}.${name}`;
  const inner = memberText(object);
  return inner === null ? `?.${name}` : `${inner}.${name}`;
}

/** `new URL('…', import.meta.url)`: the literal. */
function urlLiteral(node: unknown): string | null {
  if (!isNode(node) || node.type !== 'NewExpression' || (node.callee as Node).name !== 'URL') return null;
  const [path, base] = node.arguments as Node[];
  return base !== undefined && memberText(base)?.endsWith('.url') ? textOf(path) : null;
}

const ENTRY_NAME = /(?:^|\/)([a-z-]+\/(?:bin\/[a-z-]+\.(?:ts|js|mjs)|src\/main\.ts))$/;
const ENTRY_TAIL = /^(?:\.{1,2}\/)*bin\/[a-z-]+\.(?:ts|js|mjs)$/;
const FORBIDDEN_MEMBERS: Readonly<Record<string, string>> = {
  'process.binding': 'process.binding',
  'process._linkedBinding': 'process.binding',
  'process.dlopen': 'process.dlopen',
  'process.getBuiltinModule': 'process.getBuiltinModule',
  'globalThis.eval': 'eval',
  'global.eval': 'eval',
  'globalThis.Function': 'Function',
  'global.Function': 'Function',
  'globalThis.require': 'require',
  'module.require': 'require',
  'process.mainModule': 'process.mainModule',
};

/**
 * @param name decides the language by its ending.
 * @param language `ours`: every power is reported; `theirs`: only what makes the closure incomplete.
 */
export function readFacts(name: string, source: string, language: 'ours' | 'theirs'): Facts {
  const isCommonJs = !/\.m?[jt]s$/.test(name);
  const parsed = parseSync(name, source, { sourceType: language === 'ours' && !isCommonJs ? 'module' : 'unambiguous' });
  const edges: Edge[] = [];
  const powers: Power[] = [];
  const entriesNamed = new Set<string>();
  const lineStarts = [0];
  for (let i = source.indexOf('\n'); i >= 0; i = source.indexOf('\n', i + 1)) lineStarts.push(i + 1);
  const lineOf = (node: Node): number => {
    let low = 0;
    let high = lineStarts.length - 1;
    while (low < high) {
      const middle = (low + high + 1) >> 1;
      if (lineStarts[middle]! <= node.start) low = middle;
      else high = middle - 1;
    }
    return low + 1;
  };
  const power = (what: string, node: Node) => powers.push({ what, line: lineOf(node) });
  const edge = (kind: Edge['kind'], target: unknown, node: Node, otherwise: string) => {
    const specifier = textOf(target);
    if (specifier === null) power(otherwise, node);
    else edges.push({ specifier, kind, line: lineOf(node) });
  };
  const declared = new Set<string>();

  const visitImport = (node: Node) => {
    const type = node.importKind === 'type' || node.exportKind === 'type';
    edge(type ? 'type' : 'import', node.source, node, 'a non-literal import');
  };
  const visitCall = (node: Node) => {
    const callee = node.callee as Node;
    const args = node.arguments as Node[];
    if (callee.type === 'Identifier') {
      const called = callee.name as string;
      if (called === 'require') edge('require', args[0], node, 'a non-literal require');
      if (called === 'Function') power('Function', node);
      if (called === 'createRequire') power('createRequire', node);
    }
    const member = memberText(callee);
    if (member?.endsWith('.createRequire')) power('createRequire', node);
    if (member === 'require.resolve' && language === 'theirs') return;
    if (member?.endsWith('.constructor') && args.length > 0) power('.constructor(…)', node);
  };
  const visitNew = (node: Node) => {
    const callee = node.callee as Node;
    const name = callee.type === 'Identifier' ? (callee.name as string) : memberText(callee);
    if (name === 'Function') power('Function', node);
    if (name !== 'Worker' && name?.endsWith('.Worker') !== true) return;
    const target = urlLiteral((node.arguments as Node[])[0]);
    if (target === null) power('a Worker with a non-literal file', node);
    else edges.push({ specifier: target, kind: 'worker', line: lineOf(node) });
  };
  const visitMember = (node: Node) => {
    const member = memberText(node);
    if (member === null) return;
    const forbidden = FORBIDDEN_MEMBERS[member];
    if (forbidden !== undefined) power(forbidden, node);
    for (const global of GLOBAL_POWERS) {
      if (member === global || member === `globalThis.${global}`) power(global, node);
    }
  };
  const visitString = (text: string) => {
    const match = ENTRY_NAME.exec(text);
    if (match) entriesNamed.add(match[1]!);
    else if (ENTRY_TAIL.test(text))
      entriesNamed.add(text.startsWith('.') ? text.replace(/^(?:\.{1,2}\/)+/, './') : `*/${text}`);
  };

  const walk = (node: Node, parent: Node | null): void => {
    switch (node.type) {
      case 'ImportDeclaration':
      case 'ExportAllDeclaration':
        visitImport(node);
        break;
      case 'ExportNamedDeclaration':
        if (node.source) visitImport(node);
        break;
      case 'ImportExpression':
        edge('dynamic', node.source, node, 'a non-literal import');
        break;
      case 'TSImportType':
        edge(
          'type',
          (node.source ?? (node.argument as Node | undefined)?.literal ?? node.argument) as unknown,
          node,
          'a non-literal import',
        );
        break;
      case 'TSExternalModuleReference':
        edge('require', node.expression, node, 'a non-literal require');
        break;
      case 'CallExpression':
        visitCall(node);
        break;
      case 'NewExpression':
        visitNew(node);
        break;
      case 'MemberExpression':
        visitMember(node);
        break;
      case 'Identifier': {
        const used = node.name as string;
        const isName =
          parent !== null &&
          !parent.computed &&
          (parent.property === node || (parent.key === node && parent.shorthand !== true));
        if (isName) break;
        if (used === 'eval') power('eval', node);
        if (
          used === 'Function' &&
          parent?.type !== 'CallExpression' &&
          parent?.type !== 'NewExpression' &&
          parent?.type !== 'BinaryExpression' &&
          !parent?.type.startsWith('TS')
        )
          power('Function', node);
        if (used === 'createRequire' && parent?.type !== 'CallExpression' && parent?.type !== 'ImportSpecifier')
          power('createRequire', node);
        if (
          used === 'require' &&
          parent?.type !== 'CallExpression' &&
          parent?.type !== 'MemberExpression' &&
          language === 'ours'
        )
          power('require', node);
        if ((used === 'fetch' || used === 'WebSocket') && parent?.type === 'CallExpression' && parent.callee === node)
          power(used, node);
        if (used === 'WebSocket' && parent?.type === 'NewExpression') power(used, node);
        break;
      }
      case 'FunctionDeclaration':
        if (isNode(node.id)) declared.add(node.id.name as string);
        break;
      case 'VariableDeclarator':
        if (isNode(node.id) && node.id.type === 'Identifier') declared.add(node.id.name as string);
        break;
      case 'Literal':
      case 'TemplateLiteral': {
        const text = textOf(node);
        if (text !== null) visitString(text);
        break;
      }
    }
    for (const child of childrenOf(node)) walk(child, node);
  };
  walk(parsed.program as unknown as Node, null);
  return {
    edges,
    powers: powers.filter((p) => !declared.has(p.what)),
    entriesNamed: [...entriesNamed].sort(),
    errors: parsed.errors.map((error) => error.message),
  };
}
