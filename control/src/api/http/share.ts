/**
 * Equal reads that arrive together are done once. A read never shares one that had begun before it arrived, so that nobody
 * gets an answer older than the question: whoever comes while one is under way waits for the next, together with all others
 * who came meanwhile. Many pollers of one page then cost the database what two of them would.
 */
export type SharedReads = <T>(key: string, read: () => Promise<T>) => Promise<T>;

type Entry = { running: Promise<unknown>; next: Promise<unknown> | null };

export function createSharedReads(): SharedReads {
  const entries = new Map<string, Entry>();
  const settled = (promise: Promise<unknown>): Promise<void> =>
    promise.then(
      () => undefined,
      () => undefined,
    );
  const begin = <T>(key: string, read: () => Promise<T>): Promise<T> => {
    const running = read();
    const entry: Entry = { running, next: null };
    entries.set(key, entry);
    void settled(running).then(() => {
      // Whoever waits for the next one has replaced this entry already.
      if (entries.get(key) === entry && entry.next === null) entries.delete(key);
    });
    return running;
  };
  return <T>(key: string, read: () => Promise<T>): Promise<T> => {
    const entry = entries.get(key);
    if (!entry) return begin(key, read);
    entry.next ??= settled(entry.running).then(() => begin(key, read));
    return entry.next as Promise<T>;
  };
}
