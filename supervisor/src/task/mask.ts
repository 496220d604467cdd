/**
 * Hides secrets that a try was handed from all that is logged for it, in the forms in which programs print them.
 * The second line of defence: the first is that a try is handed only what it declared.
 */

const MASK = '***';
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

/** Every form of a secret that is looked for. Pure. */
export function formsOf(secret: string): readonly string[] {
  const json = JSON.stringify(secret).slice(1, -1);
  const bytes = Buffer.from(secret, 'utf8');
  const url = encodeURIComponent(secret);
  const forms = [
    secret,
    json,
    JSON.stringify(json).slice(1, -1),
    json.replaceAll('/', '\\/'),
    url,
    url.replaceAll('%20', '+'),
    url.toLowerCase(),
    encodeURI(secret),
    bytes.toString('hex'),
    bytes.toString('hex').toUpperCase(),
    ...base64Cores(bytes),
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

  mask(text: string): string {
    return this.#pattern === null ? text : text.replace(this.#pattern, MASK);
  }
}
