/**
 * Events that say a token of a try was used where it must not be: somebody else may have it. Written before the refusal is
 * answered, counted by the health answer, listed by `airlock tokens alarms`. @see promises L3, L5
 */
export const TOKEN_ALARMS = {
  /** A workload token that had bought its try already, or a `/run` by another process. */
  run_refused: 'the start of a try was refused: its workload token had been used, or was not its own',
  /** A superseded execution token, or one of an earlier stretch of the same try. */
  token_reuse_refused: 'a superseded token of a running try was used and refused',
  /** A superseded token, used so late that every token of the try was ended. */
  token_family_ended: 'a superseded token was used long after its end: the try has lost all its tokens',
} as const;
export type TokenAlarm = keyof typeof TOKEN_ALARMS;
export const TOKEN_ALARM_EVENTS = Object.keys(TOKEN_ALARMS) as TokenAlarm[];

/** Header of the health answer: how many such events there were in the last 24 hours; counted up to `MAX_COUNTED_ALARMS`. */
export const TOKEN_ALARMS_HEADER = 'airlock-token-alarms';
export const ALARM_HOURS = 24;
export const MAX_COUNTED_ALARMS = 1000;
