/**
 * JSON and `repr` as Python writes them, because stored variables and stringified XComs are read back that way by clients.
 * Given exact JSON, no digit is lost.
 */
import { isRawNumber, type RawNumber } from '@airlock/contract/exact-json';

/** `1000.0`, `1e+16`, `1e-05`: the shortest digits, exponents from 1e16 and below 1e-4. */
function floatRepr(value: number): string {
  if (Number.isNaN(value)) return 'NaN';
  if (!Number.isFinite(value)) return value > 0 ? 'Infinity' : '-Infinity';
  const [mantissa, exponentText] = value.toExponential().split('e') as [string, string];
  const exponent = Number(exponentText);
  if (value !== 0 && (exponent < -4 || exponent >= 16)) {
    const digits = String(Math.abs(exponent)).padStart(2, '0');
    return `${mantissa}e${exponent < 0 ? '-' : '+'}${digits}`;
  }
  const plain = Object.is(value, -0)
    ? '-0'
    : exponent >= -4 && exponent < 0
      ? value.toFixed(Math.min(100, -exponent + mantissa.replace(/[-.]/g, '').length - 1))
      : String(value);
  return plain.includes('.') ? plain : `${plain}.0`;
}

function numberRepr(value: RawNumber | number): string {
  const text = typeof value === 'number' ? String(value) : value.rawJSON;
  if (/^-?\d+$/.test(text)) return text === '-0' ? '0' : text;
  return floatRepr(Number(text));
}

function quote(text: string): string {
  return JSON.stringify(text).replace(/[\u007f-\uffff]/g, (c) => `\\u${c.charCodeAt(0).toString(16).padStart(4, '0')}`);
}

/** `json.dumps(value)`, or with `indent`, its pretty form. */
export function pythonJson(value: unknown, indent = 0, level = 0): string {
  if (value === null || value === undefined) return 'null';
  if (typeof value === 'boolean') return String(value);
  if (typeof value === 'number' || isRawNumber(value)) return numberRepr(value);
  if (typeof value === 'string') return quote(value);
  const wrap = (open: string, items: string[], close: string): string => {
    if (items.length === 0) return open + close;
    if (indent === 0) return open + items.join(', ') + close;
    const pad = ' '.repeat(indent * (level + 1));
    return `${open}\n${pad}${items.join(`,\n${pad}`)}\n${' '.repeat(indent * level)}${close}`;
  };
  if (Array.isArray(value)) {
    return wrap(
      '[',
      value.map((item) => pythonJson(item, indent, level + 1)),
      ']',
    );
  }
  const entries = Object.entries(value as Record<string, unknown>);
  return wrap(
    '{',
    entries.map(([key, item]) => `${quote(key)}: ${pythonJson(item, indent, level + 1)}`),
    '}',
  );
}

function stringRepr(text: string): string {
  const mark = text.includes("'") && !text.includes('"') ? '"' : "'";
  let out = mark;
  for (const c of text) {
    if (c === mark || c === '\\') out += `\\${c}`;
    else if (c === '\n') out += '\\n';
    else if (c === '\r') out += '\\r';
    else if (c === '\t') out += '\\t';
    else if (c < ' ' || c === '\x7f') out += `\\x${c.charCodeAt(0).toString(16).padStart(2, '0')}`;
    else out += c;
  }
  return out + mark;
}

/** `repr(value)` of a value that came from JSON. */
export function pythonRepr(value: unknown): string {
  if (value === null || value === undefined) return 'None';
  if (value === true) return 'True';
  if (value === false) return 'False';
  if (typeof value === 'number' || isRawNumber(value)) return numberRepr(value);
  if (typeof value === 'string') return stringRepr(value);
  if (Array.isArray(value)) return `[${value.map(pythonRepr).join(', ')}]`;
  const entries = Object.entries(value as Record<string, unknown>);
  return `{${entries.map(([key, item]) => `${stringRepr(key)}: ${pythonRepr(item)}`).join(', ')}}`;
}
