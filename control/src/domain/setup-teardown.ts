/** Which setups guard a task, and what a teardown waits for. @see scheduling semantics 5.4 */

export type SetupScopes = {
  /** Task id → setups that must have succeeded before it. */
  readonly setupsOf: ReadonlyMap<string, readonly string[]>;
  /** Teardown id → tasks that must be finished before it. */
  readonly scopeOf: ReadonlyMap<string, readonly string[]>;
};

type Node = {
  readonly taskId: string;
  readonly upstream: readonly string[];
  readonly downstream: readonly string[];
  readonly isSetup: boolean;
  readonly isTeardown: boolean;
};

function reach(tasks: ReadonlyMap<string, Node>, from: string, next: (node: Node) => readonly string[]): Set<string> {
  const found = new Set<string>();
  const open = [from];
  for (let id = open.pop(); id !== undefined; id = open.pop()) {
    for (const to of next(tasks.get(id)!)) {
      if (!found.has(to)) {
        found.add(to);
        open.push(to);
      }
    }
  }
  return found;
}

/** Scope of a pair = tasks on paths from setup to teardown; a setup without teardown guards everything after it. */
export function scopesOf(tasks: ReadonlyMap<string, Node>): SetupScopes {
  const setupsOf = new Map<string, string[]>();
  const scopeOf = new Map<string, Set<string>>();
  for (const setup of tasks.values()) {
    if (!setup.isSetup) continue;
    const after = reach(tasks, setup.taskId, (node) => node.downstream);
    const teardowns = setup.downstream.filter((id) => tasks.get(id)!.isTeardown);
    const guarded = new Set<string>();
    if (teardowns.length === 0) for (const id of after) guarded.add(id);
    for (const teardown of teardowns) {
      const before = reach(tasks, teardown, (node) => node.upstream);
      const scope = scopeOf.get(teardown) ?? new Set<string>();
      scopeOf.set(teardown, scope);
      for (const id of after) {
        if (!before.has(id)) continue;
        guarded.add(id);
        scope.add(id);
      }
    }
    for (const id of guarded) {
      if (tasks.get(id)!.isTeardown) continue;
      const list = setupsOf.get(id) ?? [];
      list.push(setup.taskId);
      setupsOf.set(id, list);
    }
  }
  return { setupsOf, scopeOf: new Map([...scopeOf].map(([id, scope]) => [id, [...scope]])) };
}
