/**
 * Hides secrets that a try was handed from all that people are shown of it, in the forms in which programs print them.
 * The second line of defence: the first is that a try is handed only what it declared.
 */
import { isRawNumber } from '@airlock/contract/exact-json';
import { type NameTest, sensitiveNames } from '@airlock/contract/sensitive-names';
import { formsOf } from './mask-forms.ts';
import { FormSearch, MASK } from './mask-search.ts';

const MAX_DEPTH = 100;
/** Nobody cuts a text to less before it comes here: the shortest bound of a child is that of an error's name. */
const MAY_BE_CUT = 200;
/** What is left of a secret at the end of a cut text, and is shorter, tells nothing. */
const LEAST_REST = 4;
/** Further names of variables that count as secret here. In answers of the REST API they are shown, as the reference does. */
const MORE_NAMES = 'accesskey,accesstoken,credential,pass_code,passcode,privatekey';

/** A text in which nothing is left to hide. */
export type Masked = string & { readonly masked: true };

export class Masker {
  readonly #leastLength: number;
  readonly #isSensitive: NameTest;
  readonly #secrets = new Set<string>();
  readonly #forms = new Set<string>();
  /** Made when it is needed: several secrets become known at once. */
  #search: FormSearch | null = null;
  /** Finds where a form may begin, however little of it is left. */
  #beginnings: FormSearch | null = null;
  #longest = 0;

  /**
   * @param leastLength shorter secrets, and shorter forms, are left: they would hide ordinary words
   * @param names further names of variables that count as secret, separated by commas
   */
  constructor(leastLength: number, names = '') {
    this.#leastLength = leastLength;
    this.#isSensitive = sensitiveNames(`${MORE_NAMES},${names}`);
  }

  /** Length of the longest form, characters; a text cut with less than this behind it may cut a secret. */
  get longest(): number {
    return this.#longest;
  }

  add(secret: string | null | undefined): void {
    if (typeof secret !== 'string' || secret.length < this.#leastLength || this.#secrets.has(secret)) return;
    this.#secrets.add(secret);
    for (const form of formsOf(secret)) {
      if (form.length < this.#leastLength) continue;
      this.#forms.add(form);
      this.#longest = Math.max(this.#longest, form.length);
    }
    this.#search = null;
    this.#beginnings = null;
  }

  /** Password and every text inside the extra, whatever its key: extras hold keys under many names. */
  addConnection(connection: { readonly password?: unknown; readonly extra?: unknown }): void {
    if (typeof connection.password === 'string') this.add(connection.password);
    if (typeof connection.extra !== 'string') return;
    const extra = parsed(connection.extra);
    if (extra === undefined) this.add(connection.extra);
    else this.#addTexts(extra, true);
  }

  /** The value of a variable with a sensitive name, and of JSON values the texts inside; else what has such a name inside. */
  addVariable(name: string, value: unknown): void {
    if (typeof value !== 'string') return;
    const sensitive = this.#isSensitive(name);
    if (sensitive) this.add(value);
    if (/^\s*[{["]/.test(value)) this.#addTexts(parsed(value), sensitive);
  }

  /** What the server has answered to a read: a variable with its key, or a connection. Anything else is passed over. */
  addRead(kind: 'variables' | 'connections', answer: unknown): void {
    if (typeof answer !== 'object' || answer === null) return;
    if (kind === 'connections') this.addConnection(answer);
    else {
      const { key, value } = answer as { readonly key?: unknown; readonly value?: unknown };
      this.addVariable(String(key), value);
    }
  }

  #addTexts(value: unknown, sensitive: boolean, depth = 0): void {
    if (typeof value === 'string') {
      if (sensitive) this.add(value);
    } else if (typeof value === 'object' && value !== null && depth < MAX_DEPTH) {
      for (const [name, inner] of Object.entries(value))
        this.#addTexts(inner, sensitive || this.#isSensitive(name), depth + 1);
    }
  }

  #searched(): FormSearch | null {
    if (this.#search === null && this.#forms.size > 0) this.#search = new FormSearch(this.#forms);
    return this.#search;
  }

  /**
   * A JSON value with every text in it masked, names of members too, and numbers that are a secret. Deeper than a hundred
   * nothing is shown.
   */
  maskTexts(value: unknown): unknown {
    return this.#searched() === null ? value : this.#maskTexts(value, 0);
  }

  #maskTexts(value: unknown, depth: number): unknown {
    if (typeof value === 'string') return this.maskCut(value);
    if (typeof value === 'number' || isRawNumber(value)) {
      const text = typeof value === 'number' ? String(value) : value.rawJSON;
      return this.mask(text) === text ? value : MASK;
    }
    if (typeof value !== 'object' || value === null) return value;
    if (depth === MAX_DEPTH) return MASK;
    if (Array.isArray(value)) return value.map((item) => this.#maskTexts(item, depth + 1));
    return Object.fromEntries(
      Object.entries(value).map(([name, item]) => [this.mask(name), this.#maskTexts(item, depth + 1)]),
    );
  }

  mask(text: string): Masked {
    return (this.#searched()?.replaceAll(text) ?? text) as Masked;
  }

  /**
   * As `mask`, for a text that a child made, and may have cut: at the end of a long one the beginning of a secret is
   * hidden too.
   */
  maskCut(text: string): Masked {
    const masked = this.mask(text);
    if (text.length < MAY_BE_CUT || this.#forms.size === 0) return masked;
    const least = Math.max(LEAST_REST, this.#leastLength);
    const begin = (form: string) => form.slice(0, least);
    this.#beginnings ??= new FormSearch(new Set([...this.#forms].map(begin)));
    const search = this.#beginnings;
    for (
      let at = search.find(masked, Math.max(0, masked.length - this.#longest));
      at >= 0;
      at = search.find(masked, at + 1)
    ) {
      const rest = masked.slice(at);
      for (const form of this.#forms) if (form.startsWith(rest)) return `${masked.slice(0, at)}${MASK}` as Masked;
    }
    return masked;
  }

  /** Where in a part of a text something to hide may begin, at or after `from`; -1: nowhere before `to`. */
  find(text: string, from: number, to: number): number {
    return this.#searched()?.find(text, from, to) ?? -1;
  }
}

type MaskConfig = {
  readonly core: { readonly sensitive_var_conn_names: string };
  readonly logging: { readonly min_length_masked_secret: number };
};

/** A masker without secrets yet, as it is configured. */
export function newMasker({ core, logging }: MaskConfig): Masker {
  return new Masker(logging.min_length_masked_secret, core.sensitive_var_conn_names);
}

/** Undefined for what is no JSON. */
function parsed(text: string): unknown {
  try {
    return JSON.parse(text) as unknown;
  } catch {
    return undefined;
  }
}
