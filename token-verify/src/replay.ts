export type ReplayGuard = {
  /**
   * True the first time that `name` is shown. False when it was shown before, and for names so old that they are no longer
   * remembered: forgetting never opens a window.
   * @param atSecond epoch second that the name itself carries.
   */
  readonly first: (name: string, atSecond: number, nowMs: number) => boolean;
  /** Names held now. */
  readonly size: () => number;
};

/**
 * Remembers names by the second in which they were made, so that what is too old to be accepted is dropped whole.
 * Bounded: when full, the oldest second goes, and with it everything that old is refused from then on.
 */
export function replayGuard(options: { readonly maxEntries: number; readonly keepSeconds: number }): ReplayGuard {
  const seconds = new Map<number, Set<string>>();
  let size = 0;
  let floor = 0;
  let swept = 0;

  const drop = (second: number): void => {
    size -= seconds.get(second)?.size ?? 0;
    seconds.delete(second);
    floor = Math.max(floor, second + 1);
  };
  const oldest = (): number => Math.min(...seconds.keys());

  return {
    first: (name, atSecond, nowMs) => {
      const expired = Math.floor(nowMs / 1000) - options.keepSeconds;
      if (expired > swept) {
        swept = expired;
        for (const second of seconds.keys()) if (second < expired) drop(second);
      }
      if (atSecond < floor) return false;
      const names = seconds.get(atSecond);
      if (names?.has(name)) return false;
      if (size >= options.maxEntries) {
        drop(oldest());
        if (atSecond < floor) return false;
      }
      const holder = seconds.get(atSecond);
      if (holder) holder.add(name);
      else seconds.set(atSecond, new Set([name]));
      size++;
      return true;
    },
    size: () => size,
  };
}
