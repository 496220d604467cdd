/** The value behind `Node<T>`: a reference to a task of one Dag that is being built. */
import { DagError, show } from './dag-error.ts';
import { findJsonProblem } from './json.ts';

/** What a node needs of the Dag to which it belongs. */
export type NodeOwner = {
  readonly dagId: string;
  addEdge(taskId: string, upstreamId: string): void;
};

const NODE = Symbol.for('airlock.node');

export class NodeRef {
  readonly [NODE] = true;
  readonly taskId: string;
  readonly #owner: NodeOwner;
  constructor(taskId: string, owner: NodeOwner) {
    this.taskId = taskId;
    this.#owner = owner;
  }

  /** Order without data. @throws DagError */
  after(...nodes: readonly unknown[]): this {
    for (const node of nodes) {
      if (!(node instanceof NodeRef)) {
        const hint =
          typeof node === 'function' ? 'Call the task first: after(ready()).' : 'Give what calling a task returns.';
        throw new DagError(`${this.taskId}.after(${show(node)}): that is not a task of this Dag.`, hint);
      }
      this.#owner.addEdge(this.taskId, node.idIn(this.#owner, this.taskId));
    }
    return this;
  }

  /** The id, if the node belongs to the Dag of `owner`. @throws DagError */
  idIn(owner: NodeOwner, forTask: string): string {
    if (this.#owner === owner) return this.taskId;
    throw new DagError(
      `Task ${forTask} of Dag ${owner.dagId} uses task ${this.taskId} of Dag ${this.#owner.dagId}.`,
      'Values and order exist within one Dag only.',
    );
  }

  toJSON(): never {
    throw this.#noValue();
  }
  [Symbol.toPrimitive](): never {
    throw this.#noValue();
  }
  #noValue(): DagError {
    return new DagError(
      `The result of task ${this.taskId} does not exist yet while the Dag is built.`,
      'Give the node to another task as input, and use the value inside its run.',
    );
  }
}

/** Ids of all nodes in an input, at any depth; checks the rest to be JSON. @throws DagError */
export function nodesIn(value: unknown, owner: NodeOwner, where: string, taskId: string): Set<string> {
  const found = new Set<string>();
  const visit = (inner: unknown, path: string, depth: number): void => {
    if (inner instanceof NodeRef) {
      found.add(inner.idIn(owner, taskId));
      return;
    }
    const nested = typeof inner === 'object' && inner !== null && depth < 60;
    if (nested && Array.isArray(inner)) {
      inner.forEach((item, i) => void visit(item, `${path}[${i}]`, depth + 1));
    } else if (nested && Object.getPrototypeOf(inner) === Object.prototype) {
      for (const [key, item] of Object.entries(inner)) if (item !== undefined) visit(item, `${path}.${key}`, depth + 1);
    } else {
      const problem = findJsonProblem(inner, path);
      if (!problem) return;
      const hint =
        typeof inner === 'function' && 'taskId' in inner ? 'Call the task: give task(), not task.' : problem.hint;
      throw new DagError(`${where}: ${problem.path} is ${problem.what}, not JSON.`, hint);
    }
  };
  visit(value, 'input', 0);
  return found;
}
