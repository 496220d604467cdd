/** What is stored of a body for others to read keeps its numbers as they were sent. */
import { parseExact } from '@airlock/contract/exact-json';

/** One member of a JSON body, exact. @param parsed the member as it was parsed; it stays where nothing could have been lost */
export function exactMember<T>(bodyText: string | null, name: string, parsed: T): T {
  if ((typeof parsed !== 'object' && typeof parsed !== 'number') || parsed === null || bodyText === null) return parsed;
  // A default is not in the body.
  return (parseExact(bodyText) as Record<string, T | undefined>)[name] ?? parsed;
}

type Action = { readonly entities: readonly unknown[] };

/** The actions of a bulk request, with this member of each entity that has it exact. */
export function exactEntities<A extends Action>(bodyText: string | null, actions: readonly A[], name: string): A[] {
  const exact = exactMember(bodyText, 'actions', actions as readonly Action[]);
  const entityOf = (given: unknown, at: number, of: number): unknown => {
    if (typeof given !== 'object' || given === null || !Object.hasOwn(given, name)) return given;
    return { ...given, [name]: (exact[of]!.entities[at] as Record<string, unknown>)[name] };
  };
  return actions.map((action, of) => ({
    ...action,
    entities: action.entities.map((each, at) => entityOf(each, at, of)),
  }));
}
