/**
 * Hides secrets that a try was handed from all that is logged for it, in the forms in which programs print them.
 * The second line of defence: the first is that a try is handed only what it declared.
 */

const MASK = '***';
const MAX_DEPTH = 100;
const SENSITIVE_NAME =
  /(access_?key|access_?token|api_?key|authorization|credential|passphrase|passwd|password|pass_?code|private_?key|secret|token)/i;

/** True when a variable or a key of an extra is sensitive by its name. */
export function isSensitiveName(name: string): boolean {
  return SENSITIVE_NAME.test(name);
}

/** The parts of a base64 text that are the same wherever in a longer text the secret starts. */
function base64Cores(bytes: Buffer): readonly string[] {
  const cores: string[] = [];
  for (let before = 0; before < 3; before++) {
    const text = Buffer.concat([Buffer.alloc(before), bytes])
      .toString('base64')
      .replace(/=+$/, '');
    const from = before === 0 ? 0 : before + 1;
    // The last character mixes with what follows, unless the secret ends on a border of three bytes.
    const to = (before + bytes.byteLength) % 3 === 0 ? text.length : text.length - 1;
    const core = text.slice(from, to);
    cores.push(core, core.replaceAll('+', '-').replaceAll('/', '_'));
  }
  return cores;
}

/** What stands between the quotes of `repr(bytes)`. */
function pythonBytes(bytes: Buffer): string {
  const named: Readonly<Record<number, string>> = { 9: '\\t', 10: '\\n', 13: '\\r', 92: '\\\\' };
  return [...bytes]
    .map((byte) => named[byte] ?? (byte < 32 || byte > 126 ? `\\x${hexByte(byte)}` : String.fromCharCode(byte)))
    .join('');
}

const hexByte = (byte: number): string => byte.toString(16).padStart(2, '0');

function htmlText(text: string, apostrophe: string): string {
  const entities: Readonly<Record<string, string>> = {
    '&': '&amp;',
    '<': '&lt;',
    '>': '&gt;',
    '"': '&quot;',
    "'": apostrophe,
  };
  return text.replace(/[&<>"']/g, (character) => entities[character]!);
}

/** RFC 2045 6.7, without the breaks of long lines. */
function quotedPrintable(bytes: Buffer): string {
  return [...bytes]
    .map((byte) =>
      byte === 61 || byte < 32 || byte > 126 ? `=${hexByte(byte).toUpperCase()}` : String.fromCharCode(byte),
    )
    .join('');
}

/** Every form of a secret that is looked for. Pure. */
export function formsOf(secret: string): readonly string[] {
  const json = JSON.stringify(secret).slice(1, -1);
  const bytes = Buffer.from(secret, 'utf8');
  const url = encodeURIComponent(secret);
  // Python's urllib escapes these too, and by default not the slash.
  const quoted = url.replace(/[!'()*]/g, (character) => `%${hexByte(character.charCodeAt(0)).toUpperCase()}`);
  const forms = [
    secret,
    json,
    JSON.stringify(json).slice(1, -1),
    json.replaceAll('/', '\\/'),
    url,
    url.replaceAll('%20', '+'),
    url.toLowerCase(),
    quoted,
    quoted.replaceAll('%2F', '/'),
    quoted.replaceAll('%20', '+'),
    encodeURI(secret),
    bytes.toString('hex'),
    bytes.toString('hex').toUpperCase(),
    ...base64Cores(bytes),
    // JSON and the representation of texts and bytes, as Python writes them.
    json.replace(/[\x7f-\uffff]/g, (unit) => `\\u${unit.charCodeAt(0).toString(16).padStart(4, '0')}`),
    secret.replaceAll('\\', '\\\\').replaceAll("'", "\\'").replaceAll('\n', '\\n'),
    pythonBytes(bytes),
    htmlText(secret, '&#39;'),
    htmlText(secret, '&#x27;'),
    quotedPrintable(bytes),
    // A key of several lines is printed line by line.
    ...(secret.includes('\n') ? secret.split(/\r?\n/) : []),
  ];
  return forms;
}

export class Masker {
  readonly #leastLength: number;
  readonly #forms = new Set<string>();
  #pattern: RegExp | null = null;
  #longest = 0;

  /** @param leastLength shorter secrets, and shorter forms, are left: they would hide ordinary words */
  constructor(leastLength: number) {
    this.#leastLength = leastLength;
  }

  /** Length of the longest form, characters; a text cut with less than this behind it may cut a secret. */
  get longest(): number {
    return this.#longest;
  }

  add(secret: string | null | undefined): void {
    if (typeof secret !== 'string' || secret.length < this.#leastLength) return;
    for (const form of formsOf(secret)) {
      if (form.length < this.#leastLength || this.#forms.has(form)) continue;
      this.#forms.add(form);
      this.#longest = Math.max(this.#longest, form.length);
    }
    const longestFirst = [...this.#forms].sort((a, b) => b.length - a.length);
    this.#pattern = new RegExp(longestFirst.map((form) => RegExp.escape(form)).join('|'), 'g');
  }

  /** Password and every text inside the extra, whatever its key: extras hold keys under many names. */
  addConnection(connection: { readonly password?: unknown; readonly extra?: unknown; readonly login?: unknown }): void {
    if (typeof connection.password === 'string') this.add(connection.password);
    if (typeof connection.extra !== 'string') return;
    try {
      this.#addTexts(JSON.parse(connection.extra), 0);
    } catch {
      this.add(connection.extra);
    }
  }

  #addTexts(value: unknown, depth: number): void {
    if (typeof value === 'string') this.add(value);
    else if (typeof value === 'object' && value !== null && depth < 16) {
      for (const inner of Object.values(value)) this.#addTexts(inner, depth + 1);
    }
  }

  /** A JSON value with every text in it masked, names of members too. Deeper than that nothing is shown. */
  maskTexts(value: unknown, depth = 0): unknown {
    if (this.#pattern === null || value === null) return value;
    if (typeof value === 'string') return this.mask(value);
    if (typeof value !== 'object') return value;
    if (depth === MAX_DEPTH) return MASK;
    if (Array.isArray(value)) return value.map((item) => this.maskTexts(item, depth + 1));
    return Object.fromEntries(
      Object.entries(value).map(([name, item]) => [this.mask(name), this.maskTexts(item, depth + 1)]),
    );
  }

  mask(text: string): string {
    return this.#pattern === null ? text : text.replace(this.#pattern, MASK);
  }
}
