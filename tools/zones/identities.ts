/** Looks in sources for the places that decide who a caller is; tests/zones/identities.test.ts compares them with a list. */
import { parseSync } from 'oxc-parser';

type Node = { readonly type: string; readonly start: number; readonly end: number; readonly [key: string]: unknown };
const isNode = (value: unknown): value is Node =>
  typeof value === 'object' && value !== null && typeof (value as { type?: unknown }).type === 'string';

function* nodesOf(node: Node): Generator<Node> {
  yield node;
  for (const key in node) {
    const value = node[key];
    for (const item of Array.isArray(value) ? value : [value]) if (isNode(item)) yield* nodesOf(item);
  }
}

export type Finding = { readonly what: string; readonly text: string };

/** Where a source makes an identity, claims that something is one, or calls a server without a connection. @throws SyntaxError */
export function findings(text: string): Finding[] {
  const { program, errors } = parseSync('source.ts', text);
  if (errors.length > 0) throw new SyntaxError(errors[0]!.message);
  const found: Finding[] = [];
  for (const node of nodesOf(program as unknown as Node)) {
    const piece = text.slice(node.start, node.end);
    if (node.type === 'ObjectExpression') {
      const keys = (node.properties as Node[]).map((property) => (property.key as { name?: string } | undefined)?.name);
      if (keys.includes('via') && keys.includes('role')) found.push({ what: 'makes a user', text: piece });
      if (keys.includes('claims') && keys.includes('jkt')) found.push({ what: 'makes an identity', text: piece });
    }
    if (
      node.type === 'TSAsExpression' &&
      /^(User|Identity)$/.test(text.slice((node.typeAnnotation as Node).start, (node.typeAnnotation as Node).end))
    )
      found.push({ what: 'claims an identity', text: piece });
    if (node.type === 'CallExpression') {
      const callee = node.callee as Node;
      const name = ((callee.property ?? {}) as { name?: string }).name;
      if (callee.type === 'MemberExpression' && name === 'inject')
        found.push({ what: 'calls a server in its own process', text: piece });
    }
  }
  return found;
}
