/**
 * Hiding what looks like a secret by its name, in answers and in the audit log. Unlike the reference, numbers and whole
 * objects under such a name are hidden too. @see rest-api 5.8, 9.1
 */
import { sensitiveNames } from '@airlock/contract/sensitive-names';

export const HIDDEN = '***';

export type Masker = {
  readonly isSensitive: (name: string) => boolean;
  /** `value` with everything under sensitive names hidden. `name` is the value's own. Null stays null. */
  readonly mask: (value: unknown, name?: string) => unknown;
};

/** @param extraNames `[core] sensitive_var_conn_names`; @param enabled `[core] hide_sensitive_var_conn_fields` */
export function createMasker(extraNames: string, enabled: boolean): Masker {
  const isSensitive = enabled ? sensitiveNames(extraNames) : () => false;
  const mask = (value: unknown, name?: string): unknown => {
    if (value === null || value === undefined) return value;
    if (name !== undefined && isSensitive(name)) return HIDDEN;
    if (Array.isArray(value)) return value.map((item) => mask(item));
    if (typeof value !== 'object' || Object.getPrototypeOf(value) !== Object.prototype) return value;
    return Object.fromEntries(Object.entries(value).map(([key, item]) => [key, mask(item, key)]));
  };
  return { isSensitive, mask };
}
