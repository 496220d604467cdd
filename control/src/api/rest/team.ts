/** `team_name` in bodies: accepted as null always, as a name only where teams are on. @see rest-api 3.3 */
import type { z } from '@airlock/contract/schema';
import { wireIssue } from '../http/validation.ts';
import { wire } from '../http/wire.ts';

/** Teams are off in this release, so that a name is refused with the reference's words. */
export const teamName = wire
  .text({ max: 50 })
  .nullish()
  .transform((name, ctx): null => {
    if (name === null || name === undefined) return null;
    const error = 'team_name cannot be set when multi_team mode is disabled. Please contact your administrator.';
    return wireIssue(ctx, { type: 'value_error', msg: `Value error, ${error}`, ctx: { error: {} } });
  }) satisfies z.ZodType;
