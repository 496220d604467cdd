/**
 * Identifiers that must not be mixed up. Each is a string on the wire; the brand exists only for the compiler.
 * @see docs/glossary.md
 */
declare const brand: unique symbol;
type Branded<K extends string> = string & { readonly [brand]: K };

/** One try of one task: a lower-case UUIDv7, new for each try, so an old token names nothing. */
export type TaskInstanceId = Branded<'TaskInstanceId'>;
/** A registered supervisor (worker, dag-processor or triggerer host): a lower-case UUID. */
export type SupervisorId = Branded<'SupervisorId'>;
/** One frozen, serialized form of a Dag: a lower-case UUIDv7. */
export type DagVersionId = Branded<'DagVersionId'>;
/** SHA-256 of a bundled Dag module, 64 hex digits. */
export type ModuleHash = Branded<'ModuleHash'>;

const UUID = /^[0-9a-f]{8}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{12}$/;
const SHA256 = /^[0-9a-f]{64}$/;

/** True for the lower-case hyphenated form only; the wire compares these as strings. */
export function isUuid(text: string): boolean {
  return UUID.test(text);
}

/** The text as a TaskInstanceId, or null when it is not a lower-case UUID. */
export function parseTaskInstanceId(text: string): TaskInstanceId | null {
  return isUuid(text) ? (text as TaskInstanceId) : null;
}

/** The text as a SupervisorId, or null when it is not a lower-case UUID. */
export function parseSupervisorId(text: string): SupervisorId | null {
  return isUuid(text) ? (text as SupervisorId) : null;
}

/** The text as a ModuleHash, or null when it is not 64 lower-case hex digits. */
export function parseModuleHash(text: string): ModuleHash | null {
  return SHA256.test(text) ? (text as ModuleHash) : null;
}

/**
 * A UUIDv7 whose time part is `nowMs`; sorts by creation time.
 * @param random 10 bytes or more of randomness, from the caller, so that this package needs no Node builtin.
 * @see RFC 9562 5.7
 */
export function uuidV7(nowMs: number, random: Uint8Array): string {
  const bytes = new Uint8Array(16);
  let time = nowMs;
  for (let i = 5; i >= 0; i--) {
    bytes[i] = time % 256;
    time = Math.floor(time / 256);
  }
  bytes.set(random.subarray(0, 10), 6);
  bytes[6] = 0x70 | (bytes[6]! & 0x0f);
  bytes[8] = 0x80 | (bytes[8]! & 0x3f);
  const hex = Array.from(bytes, (b) => b.toString(16).padStart(2, '0')).join('');
  return `${hex.slice(0, 8)}-${hex.slice(8, 12)}-${hex.slice(12, 16)}-${hex.slice(16, 20)}-${hex.slice(20)}`;
}
