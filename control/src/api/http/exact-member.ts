/** What is stored of a body for others to read keeps its numbers as they were sent. */
import { parseExact } from '@airlock/contract/exact-json';

/** One member of a JSON body, exact. @param parsed the member as it was parsed; it stays where nothing could have been lost */
export function exactMember<T>(bodyText: string | null, name: string, parsed: T): T {
  if ((typeof parsed !== 'object' && typeof parsed !== 'number') || parsed === null || bodyText === null) return parsed;
  // A default is not in the body.
  return (parseExact(bodyText) as Record<string, T | undefined>)[name] ?? parsed;
}
