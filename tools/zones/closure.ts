/** All that a process can reach from its entry, third-party packages included, with the way to each thing. */
import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import { type Facts, readFacts } from './facts.ts';
import type { Resolved } from './workspace.ts';

export type Reached = {
  /** Packages of ours. */
  readonly packages: ReadonlyMap<string, readonly string[]>;
  /** Third-party packages. */
  readonly npm: ReadonlyMap<string, readonly string[]>;
  readonly builtins: ReadonlyMap<string, readonly string[]>;
  /** `eval`, a non-literal import and the like, as `package: what` for third-party code, as `what` for ours. */
  readonly powers: ReadonlyMap<string, readonly string[]>;
  /** Files of ours. */
  readonly files: ReadonlySet<string>;
  /** Entries of other processes that files of ours name. */
  readonly entriesNamed: ReadonlyMap<string, string>;
  /** Specifiers that lead nowhere: `package: specifier` for third-party code. */
  readonly missing: ReadonlyMap<string, readonly string[]>;
};
export type FactsOf = (path: string, language: 'ours' | 'theirs') => Facts;

/** Reads each file once, whatever number of processes reach it. */
export function createFactReader(root: string): FactsOf {
  const cache = new Map<string, Facts>();
  return (path, language) => {
    let facts = cache.get(path);
    if (facts === undefined) {
      facts = readFacts(path, readFileSync(join(root, path), 'utf8'), language);
      cache.set(path, facts);
    }
    return facts;
  };
}

/**
 * Breadth first, so that the way that is kept for each thing is a shortest one.
 * Type-only imports count: a name that is imported as a type today is imported as a value tomorrow.
 */
export function walkClosure(
  entry: string,
  factsOf: FactsOf,
  resolve: (fromFile: string, specifier: string, kind: 'import' | 'require') => Resolved,
): Reached {
  const packages = new Map<string, readonly string[]>();
  const npm = new Map<string, readonly string[]>();
  const builtins = new Map<string, readonly string[]>();
  const powers = new Map<string, readonly string[]>();
  const missing = new Map<string, readonly string[]>();
  const files = new Set<string>();
  const entriesNamed = new Map<string, string>();
  const seen = new Set<string>([entry]);
  const queue: Array<{ path: string; owner: string | null; way: readonly string[] }> = [
    { path: entry, owner: null, way: [entry] },
  ];
  const note = <K>(map: Map<K, readonly string[]>, key: K, way: readonly string[]) => {
    if (!map.has(key)) map.set(key, way);
  };
  note(packages, entry.split('/')[0]!, [entry]);

  for (let next = queue.shift(); next !== undefined; next = queue.shift()) {
    const { path, owner, way } = next;
    if (owner === null) files.add(path);
    if (path.endsWith('.json')) continue;
    if (path.endsWith('.node')) {
      note(powers, `${owner}: native code`, way);
      continue;
    }
    const facts = factsOf(path, owner === null ? 'ours' : 'theirs');
    for (const power of facts.powers) {
      if (owner === null) note(powers, power.what, way);
      else if (CLOSES_THE_VIEW.has(power.what)) note(powers, `${owner}: ${power.what}`, way);
    }
    if (owner === null) for (const named of facts.entriesNamed) entriesNamed.set(entryPath(named, path), path);
    for (const edge of facts.edges) {
      const resolved = resolve(path, edge.specifier, edge.kind === 'require' ? 'require' : 'import');
      if (resolved.kind === 'builtin') note(builtins, resolved.name, [...way, resolved.name]);
      else if (resolved.kind === 'missing')
        note(missing, owner === null ? edge.specifier : `${owner}: ${edge.specifier}`, way);
      else {
        const inner = [...way, resolved.path];
        if (resolved.kind === 'ours') note(packages, resolved.package, inner);
        else note(npm, resolved.package, inner);
        // Declarations of types hold no code; the package itself is noted above.
        if (seen.has(resolved.path) || /\.d\.[cm]?ts$/.test(resolved.path)) continue;
        seen.add(resolved.path);
        queue.push({ path: resolved.path, owner: resolved.kind === 'ours' ? null : resolved.package, way: inner });
      }
    }
  }
  return { packages, npm, builtins, powers, files, entriesNamed, missing };
}

/** What makes a third-party package reach more than its literal imports show. */
const CLOSES_THE_VIEW: ReadonlySet<string> = new Set([
  'eval',
  'Function',
  'a non-literal import',
  'a non-literal require',
  'createRequire',
  'a Worker with a non-literal file',
  'process.binding',
  'process.dlopen',
  'process.getBuiltinModule',
]);

/** `./bin/x.ts` named in `pkg/src/y.ts` is `pkg/bin/x.ts`. */
function entryPath(named: string, inFile: string): string {
  return named.startsWith('./') ? `${inFile.split('/')[0]}/${named.slice(2)}` : named;
}
