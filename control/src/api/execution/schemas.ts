/** Request bodies of the task routes, as the reference's validation reads them. @see execution API 3.2 to 3.6 */
import { z } from '@airlock/contract/schema';
import { check, toValidationItems, type ValidationItem, validationError, wireIssue } from '../http/validation.ts';
import { wire } from '../http/wire.ts';

const pid = wire.int();

export const runBody = z.strictObject({
  state: wire.word(['running']),
  hostname: wire.text({ max: 1000 }),
  unixname: wire.text({ max: 1000 }),
  pid,
  start_date: wire.instant(),
});

export const heartbeatBody = z.strictObject({ hostname: wire.text(), pid });

const label = wire.text().nullish();
const INTERMEDIATE = [
  'scheduled',
  'queued',
  'restarting',
  'up_for_retry',
  'up_for_reschedule',
  'deferred',
  'awaiting_input',
] as const;

const member = <const W extends (typeof INTERMEDIATE)[number]>(word: W) =>
  z.unknown().transform((value, ctx): W => {
    if (value === word) return word;
    const expected = `<IntermediateTIState.${word.toUpperCase()}: '${word}'>`;
    if (value === undefined) return wireIssue(ctx, { type: 'missing', msg: 'Field required' });
    return wireIssue(ctx, { type: 'literal_error', msg: `Input should be ${expected}`, ctx: { expected } });
  }) as unknown as z.ZodType<W>;

/** Outlets of a task, and events that it describes. */
const MAX_OUTLETS = 10_000;
const assetProfile = z.strictObject({
  type: wire.word(['Asset', 'AssetNameRef', 'AssetUriRef', 'AssetAlias']),
  name: wire.text().nullish(),
  uri: wire.text().nullish(),
});
/** Unknown fields ride along, as the reference takes any object. */
const outletEvent = z.looseObject({
  dest_asset_key: z.looseObject({ name: wire.text({ min: 1 }), uri: wire.text({ min: 1 }) }),
  source_alias_name: wire.text().nullish(),
  dest_asset_extra: wire.object().nullish(),
  extra: wire.object().nullish(),
  partition_key: wire.json().optional(),
});
const duration = wire.duration().nullish();

const STATE_SHAPES = {
  _terminal_: z.strictObject({
    state: wire.word(['failed', 'skipped', 'removed', 'upstream_failed']),
    end_date: wire.instant(),
    rendered_map_index: label,
  }),
  success: z.strictObject({
    state: wire.word(['success']),
    end_date: wire.instant(),
    task_outlets: z.array(assetProfile).max(MAX_OUTLETS).optional(),
    outlet_events: z.array(outletEvent).max(MAX_OUTLETS).optional(),
    rendered_map_index: label,
  }),
  _other_: z.strictObject({ state: wire.word(INTERMEDIATE) }),
  deferred: z.strictObject({
    state: member('deferred'),
    classpath: wire.text(),
    trigger_kwargs: z
      .union([wire.text().refine((text) => !text.includes('\0')), z.record(z.string(), z.unknown())])
      .optional(),
    trigger_timeout: duration,
    queue: wire.text().nullish(),
    next_method: wire.text(),
    next_kwargs: z.record(z.string(), z.unknown()).optional(),
    rendered_map_index: label,
  }),
  up_for_reschedule: z.strictObject({
    state: member('up_for_reschedule'),
    reschedule_date: wire.instant(),
    end_date: wire.instant(),
  }),
  awaiting_input: z.strictObject({
    state: member('awaiting_input'),
    next_method: wire.text(),
    timeout: duration,
    next_kwargs: z.record(z.string(), z.unknown()).optional(),
    rendered_map_index: label,
  }),
  up_for_retry: z.strictObject({
    state: member('up_for_retry'),
    end_date: wire.instant(),
    rendered_map_index: label,
    retry_delay_seconds: wire.float().nullish(),
    retry_reason: wire.text().nullish(),
  }),
} as const;

type Shapes = { [K in keyof typeof STATE_SHAPES]: z.output<(typeof STATE_SHAPES)[K]> };
/** A state report: which of the seven shapes it has, and its fields. */
export type StateReport = { [K in keyof Shapes]: { readonly shape: K; readonly body: Shapes[K] } }[keyof Shapes];

export type SuccessReport = Shapes['success'];
export type AwaitInputReport = Shapes['awaiting_input'];
export type DeferredReport = Shapes['deferred'];

/**
 * Fits a body to the first of the seven shapes. The `success` state literal has no list of one, so its own refusal says
 * nothing when only `state` differs.
 * @throws VALIDATION listing the mismatches of all shapes, each under its own tag
 */
export function parseStateReport(body: unknown): StateReport {
  const items: ValidationItem[] = [];
  for (const [shape, schema] of Object.entries(STATE_SHAPES)) {
    const result = schema.safeParse(body);
    if (result.success) return { shape, body: result.data } as StateReport;
    items.push(...toValidationItems(result.error, body, ['body', shape]));
  }
  throw validationError(items);
}

const skipItem = z.unknown().transform((value, ctx): { taskId: string; mapIndex: number } => {
  if (typeof value === 'string') return { taskId: value, mapIndex: -1 };
  if (Array.isArray(value) && value.length === 2 && typeof value[0] === 'string' && Number.isInteger(value[1])) {
    return { taskId: value[0], mapIndex: value[1] as number };
  }
  return wireIssue(ctx, { type: 'string_type', msg: 'Input should be a valid string' });
});
export const skipBody = z.strictObject({ tasks: z.array(skipItem).max(10_000) });

const variableFields = z.strictObject({ val: wire.text().nullable(), description: wire.text().nullish() });

/** The body of PUT /variables; `value` is accepted as another name of `val`. @throws VALIDATION */
export function parseVariableBody(input: unknown): z.output<typeof variableFields> {
  const isObject = typeof input === 'object' && input !== null && !Array.isArray(input);
  if (!isObject || !Object.hasOwn(input, 'value') || Object.hasOwn(input, 'val'))
    return check(variableFields, input, ['body']);
  const { value, ...rest } = input as Record<string, unknown>;
  return check(variableFields, { ...rest, val: value }, ['body']);
}
