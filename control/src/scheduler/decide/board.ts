/** The rows of one run while it is being decided: what was read, with what has been decided so far laid over. */
import type { Decision, RunSnapshot, State, TiAddition, TiChange, TiView } from './types.ts';

export type Row = {
  /** Null for a row that does not exist yet. */
  readonly origin: TiView | null;
  readonly taskId: string;
  mapIndex: number;
  state: State;
  tryNumber: number;
  versionId: string;
};

export type Board = {
  readonly rowsOf: (taskId: string) => readonly Row[];
  readonly all: () => readonly Row[];
  readonly add: (taskId: string, mapIndex: number) => Row;
  /** Instants at which something becomes due. */
  readonly wakeAt: (ms: number) => void;
  readonly finish: (end: Decision['end']) => Decision;
};

export function createBoard(snapshot: RunSnapshot): Board {
  const byTask = new Map<string, Row[]>();
  const rows: Row[] = [];
  let wakeAtMs: number | null = null;
  const place = (row: Row): Row => {
    rows.push(row);
    const list = byTask.get(row.taskId);
    if (list) list.push(row);
    else byTask.set(row.taskId, [row]);
    return row;
  };
  for (const ti of snapshot.tis) {
    place({
      origin: ti,
      taskId: ti.taskId,
      mapIndex: ti.mapIndex,
      state: ti.state,
      tryNumber: ti.tryNumber,
      versionId: ti.versionId,
    });
  }
  return {
    rowsOf: (taskId) => byTask.get(taskId) ?? [],
    all: () => rows,
    add: (taskId, mapIndex) =>
      place({ origin: null, taskId, mapIndex, state: null, tryNumber: 0, versionId: snapshot.run.versionId }),
    wakeAt: (ms) => {
      wakeAtMs = wakeAtMs === null ? ms : Math.min(wakeAtMs, ms);
    },
    finish: (end) => ({ changes: changesOf(rows), additions: additionsOf(rows), end, wakeAtMs: end ? null : wakeAtMs }),
  };
}

function changesOf(rows: readonly Row[]): TiChange[] {
  const changes: TiChange[] = [];
  for (const row of rows) {
    const { origin } = row;
    if (!origin) continue;
    const same =
      row.state === origin.state &&
      row.tryNumber === origin.tryNumber &&
      row.mapIndex === origin.mapIndex &&
      row.versionId === origin.versionId;
    if (same) continue;
    const { state: to, tryNumber, mapIndex, versionId } = row;
    changes.push({ id: origin.id, from: origin.state, to, tryNumber, mapIndex, versionId });
  }
  return changes;
}

function additionsOf(rows: readonly Row[]): TiAddition[] {
  return rows
    .filter((row) => row.origin === null)
    .map(({ taskId, mapIndex, state, tryNumber }) => ({ taskId, mapIndex, state, tryNumber }));
}
