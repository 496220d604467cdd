/** The weight that orders task instances. @see scheduling semantics 4.7 */

export type WeightRule = 'downstream' | 'upstream' | 'absolute';
const LIMIT = 2_147_483_647;

/**
 * Own weight, plus the own weights of all distinct tasks up- or downstream by rule; clamped to 32 bits.
 * Reachable tasks are bit sets over the order, so that 10,000 tasks cost milliseconds, not minutes.
 * @param tasks upstream before downstream
 */
export function priorityWeights(
  tasks: ReadonlyArray<{ readonly id: string; readonly own: number; readonly rule: WeightRule }>,
  upstream: ReadonlyMap<string, readonly string[]>,
  downstream: ReadonlyMap<string, readonly string[]>,
): Map<string, number> {
  const own = new Map(tasks.map((task) => [task.id, task.own]));
  const clamp = (n: number) => Math.max(-LIMIT - 1, Math.min(LIMIT, n));
  const sums = new Map<WeightRule, Map<string, number>>();
  const sumOf = (rule: 'downstream' | 'upstream') => {
    const known = sums.get(rule);
    if (known) return known;
    const made =
      rule === 'downstream' ? reachSums(tasks.toReversed(), downstream, own) : reachSums(tasks, upstream, own);
    sums.set(rule, made);
    return made;
  };
  return new Map(
    tasks.map(({ id, own: weight, rule }) => [id, clamp(rule === 'absolute' ? weight : sumOf(rule).get(id)!)]),
  );
}

/** Own weight plus those of everything reachable. @param order every task after all that it leads to */
function reachSums(
  order: ReadonlyArray<{ readonly id: string }>,
  edges: ReadonlyMap<string, readonly string[]>,
  own: ReadonlyMap<string, number>,
): Map<string, number> {
  const index = new Map(order.map(({ id }, i) => [id, i]));
  const words = Math.ceil(order.length / 32);
  const sets: Uint32Array[] = [];
  const sums = new Map<string, number>();
  for (const [i, { id }] of order.entries()) {
    const next = edges.get(id) ?? [];
    const set = new Uint32Array(words);
    set[i >> 5]! |= 1 << (i & 31);
    for (const to of next) {
      const other = sets[index.get(to)!]!;
      for (let w = 0; w < words; w++) set[w]! |= other[w]!;
    }
    sets[i] = set;
    sums.set(id, sumOfSet(set, order, own));
  }
  return sums;
}

function sumOfSet(
  set: Uint32Array,
  order: ReadonlyArray<{ readonly id: string }>,
  own: ReadonlyMap<string, number>,
): number {
  let sum = 0;
  for (const [w, bits] of set.entries()) {
    for (let rest = bits; rest !== 0; rest &= rest - 1) {
      sum += own.get(order[w * 32 + (31 - Math.clz32(rest & -rest))]!.id)!;
    }
  }
  return sum;
}
