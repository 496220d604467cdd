/** User ids for sandboxed children: one for each living child, and the next child never gets the one just freed. */
/** Ids that nothing else on the host uses. */
export type UidRange = { readonly first: number; readonly size: number };
export const DEFAULT_UIDS: UidRange = { first: 2_000_000, size: 4096 };

const inUse = new Set<number>();
let next = 0;

/** Takes an id from `[first, first + size)`. Give it back when every process of it is gone. */
export function takeUid({ first, size }: UidRange): number {
  for (let tries = 0; tries < size - 1; tries++) {
    const uid = first + (next % (size - 1));
    next = (next + 1) % size;
    if (inUse.has(uid)) continue;
    inUse.add(uid);
    return uid;
  }
  throw new RangeError(`all ${size} user ids from ${first} on are in use`);
}

export function giveBackUid(uid: number): void {
  inUse.delete(uid);
}
