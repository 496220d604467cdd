/** What the scheduler has to look at, and when: in memory only, since everything in it can be read again from the database. */

export type Agenda = {
  /** Something changed in a run. A mark made while the run is being looked at stays: nothing is lost. */
  readonly mark: (runId: number) => void;
  /** Up to `limit` marked runs; they are unmarked by this. */
  readonly take: (limit: number) => number[];
  /** Look for queued runs that may start; for scheduled runs to make. */
  readonly wantStart: () => void;
  readonly wantCreate: () => void;
  readonly takeStart: () => boolean;
  readonly takeCreate: () => boolean;
  readonly hasWork: () => boolean;
  /** More runs are marked. */
  readonly hasRuns: () => boolean;
  /** Look at a run at an instant, epoch ms; null = not by the clock. */
  readonly wakeRun: (runId: number, atMs: number | null) => void;
  /** Look for queued runs at an instant, at the latest. */
  readonly wakeStart: (atMs: number) => void;
  /** Instants of the next scheduled run, and of the next queued run whose time comes. */
  readonly setDue: (due: { readonly createAtMs: number | null; readonly startAtMs: number | null }) => void;
  /** Marks what is due by now. */
  readonly advance: (nowMs: number) => void;
  /** The next instant at which something is due; null = none is known. */
  readonly nextDueMs: () => number | null;
  /** The run has ended, or is gone. */
  readonly forget: (runId: number) => void;
  /** Runs that were running when last looked at. */
  readonly isKnown: (runId: number) => boolean;
};

export function createAgenda(): Agenda {
  const dirty = new Set<number>();
  const wakes = new Map<number, number | null>();
  let start = false;
  let create = false;
  let createAtMs: number | null = null;
  let startAtMs: number | null = null;
  const due = (atMs: number | null, nowMs: number): boolean => atMs !== null && atMs <= nowMs;
  return {
    mark: (runId) => {
      dirty.add(runId);
      // A run that we have not seen running may be waiting to start.
      if (!wakes.has(runId)) start = true;
    },
    take: (limit) => {
      const taken: number[] = [];
      for (const id of dirty) {
        if (taken.length >= limit) break;
        dirty.delete(id);
        taken.push(id);
      }
      return taken;
    },
    wantStart: () => {
      start = true;
    },
    wantCreate: () => {
      create = true;
    },
    takeStart: () => {
      const was = start;
      start = false;
      return was;
    },
    takeCreate: () => {
      const was = create;
      create = false;
      return was;
    },
    hasRuns: () => dirty.size > 0,
    hasWork: () => dirty.size > 0 || start || create,
    wakeRun: (runId, atMs) => {
      wakes.set(runId, atMs);
    },
    wakeStart: (atMs) => {
      startAtMs = startAtMs === null ? atMs : Math.min(startAtMs, atMs);
    },
    setDue: (next) => {
      createAtMs = next.createAtMs;
      startAtMs = next.startAtMs;
    },
    advance: (nowMs) => {
      for (const [runId, atMs] of wakes) {
        if (!due(atMs, nowMs)) continue;
        wakes.set(runId, null);
        dirty.add(runId);
      }
      if (due(createAtMs, nowMs)) {
        createAtMs = null;
        create = true;
      }
      if (due(startAtMs, nowMs)) {
        startAtMs = null;
        start = true;
      }
    },
    nextDueMs: () => {
      let next = Number.POSITIVE_INFINITY;
      for (const atMs of wakes.values()) if (atMs !== null && atMs < next) next = atMs;
      for (const atMs of [createAtMs, startAtMs]) if (atMs !== null && atMs < next) next = atMs;
      return next === Number.POSITIVE_INFINITY ? null : next;
    },
    forget: (runId) => {
      wakes.delete(runId);
    },
    isKnown: (runId) => wakes.has(runId),
  };
}
