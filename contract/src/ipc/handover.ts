/**
 * What `standalone` and the processes that it starts say to each other over the inherited descriptor 3:
 * one JSON object per line. The first line to a child is its configuration, and holds only its own values.
 * End of file on this descriptor means that the parent is gone: the child stops in good order.
 */
import { z } from 'zod';

export { CHANNEL_FD } from './channel-fd.ts';

export const parentMessage = z.discriminatedUnion('type', [
  z.strictObject({ type: z.literal('config'), values: z.record(z.string(), z.unknown()) }),
  /**
   * To control: a one-time join ticket that a supervisor is about to present. `place` names where that supervisor lives; the
   * parent says by it that every earlier supervisor of the place is dead, and what it held is released at once.
   */
  z.strictObject({
    type: z.literal('ticket'),
    ticket: z.string().min(40),
    roles: z.array(z.enum(['worker', 'parse', 'trigger'])),
    place: z.string().min(1).max(200).optional(),
  }),
  /** To token-service: the process that may ask for tokens from now on. */
  z.strictObject({ type: z.literal('peer'), uid: z.int(), pid: z.int() }),
  z.strictObject({ type: z.literal('stop') }),
]);
export const childMessage = z.discriminatedUnion('type', [
  /** The process does its work from now on. `info` is shown in logs and the healthy line. */
  z.strictObject({ type: z.literal('ready'), info: z.record(z.string(), z.unknown()) }),
  /** The process can't start, and will exit with status 2; starting it again would not help. */
  z.strictObject({ type: z.literal('fatal'), code: z.string(), message: z.string(), remedy: z.string() }),
]);
export type ParentMessage = z.infer<typeof parentMessage>;
export type ChildMessage = z.infer<typeof childMessage>;
