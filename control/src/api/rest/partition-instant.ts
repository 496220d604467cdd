import type { DagModel } from '../../domain/dag-model.ts';
import { instantIso } from '../../domain/instants.ts';
import { zoneOf } from '../../domain/timetables/zone.ts';

/** A day, or a wall clock, of the schedule's own zone as an instant; schedules without a zone use UTC. */
export function partitionInstant(model: DagModel, wall: string): string {
  const { timezone } = model.document.dag.timetable.__var as { timezone?: unknown };
  const ms = Date.parse(`${wall}${wall.includes('T') ? '' : 'T00:00:00'}Z`);
  return instantIso(typeof timezone === 'string' || typeof timezone === 'number' ? zoneOf(timezone).toInstant(ms) : ms);
}
