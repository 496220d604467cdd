/** A timetable that is a class of the author's own. Nothing of it runs here. @see decision 24 */
import assert from 'node:assert/strict';
import type { Timetable } from './types.ts';

/** @param path the class, as a plugin registers it */
export function asked(path: string): Timetable {
  const never = (): never => assert.fail(`the timetable ${path} is asked by a dag-processor, not here`);
  return {
    type: path,
    // What a parse says of it is kept on the Dag; this is what Airflow's base class says.
    summary: path.slice(path.lastIndexOf('.') + 1),
    description: '',
    periodic: true,
    partitioned: false,
    isAsked: true,
    next: never,
    manualInterval: never,
  };
}
