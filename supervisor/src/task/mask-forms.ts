/** The forms in which programs print a secret. */

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
  // Half of a pair of surrogates has no such form: what is printed of it is the replacement character.
  const url = encodeURIComponent(secret.toWellFormed());
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
    encodeURI(secret.toWellFormed()),
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
