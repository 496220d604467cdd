/** The Dags that a file exports, serialized. */
import type { DagDocument } from '@airlock/contract/dag/document';
import { type Dag, isDag, madeDags } from '../author/dag.ts';
import { DagError } from '../author/dag-error.ts';
import { type SourceLocation, serializeDag } from '../author/serialize/document.ts';

export type Collected = { readonly documents: readonly DagDocument[]; readonly warnings: readonly string[] };

/** @throws DagError, and whatever a builder throws */
export function collectDags(exports: Readonly<Record<string, unknown>>, source: SourceLocation): Collected {
  const dags = new Set<Dag>();
  // Named by export, sorted, so that the order does not depend on how the bundler wrote the module.
  for (const name of Object.keys(exports).sort()) {
    const value = exports[name];
    if (isDag(value)) dags.add(value);
    else if (Array.isArray(value)) for (const item of value) if (isDag(item)) dags.add(item);
  }
  const seen = new Set<string>();
  for (const { dagId } of dags) {
    if (seen.has(dagId)) throw new DagError(`Two exported Dags have the id ${dagId}.`, 'Give each Dag its own id.');
    seen.add(dagId);
  }
  const documents = [...dags].map((dag) => serializeDag(dag, source));
  const warnings = [...dags].flatMap((dag) =>
    dag
      .graph()
      .unused.map((id) => `Task ${id} of Dag ${dag.dagId} is declared but never called, so it is not part of the Dag.`),
  );
  if (dags.size > 0) {
    for (const dag of madeDags) {
      if (!dags.has(dag)) warnings.push(`Dag ${dag.dagId} is made but not exported, so it is not deployed.`);
    }
  }
  return { documents, warnings };
}
