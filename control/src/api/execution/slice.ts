type Bounds = { readonly start?: number; readonly stop?: number; readonly step?: number };

/**
 * The items that Python's `items[start:stop:step]` gives. A step of 0 counts as 1, as the wire has it.
 * @see https://docs.python.org/3/reference/datamodel.html#slice.indices
 */
export function pythonSlice<T>(items: readonly T[], { start, stop, step: given = 1 }: Bounds): T[] {
  const step = given === 0 ? 1 : given;
  const length = items.length;
  const [low, high] = step > 0 ? [0, length] : [-1, length - 1];
  const place = (index: number | undefined, absent: number): number => {
    if (index === undefined) return absent;
    return Math.min(Math.max(index < 0 ? index + length : index, low), high);
  };
  const from = place(start, step > 0 ? low : high);
  const to = place(stop, step > 0 ? high : low);
  const taken: T[] = [];
  for (let i = from; step > 0 ? i < to : i > to; i += step) taken.push(items[i]!);
  return taken;
}
