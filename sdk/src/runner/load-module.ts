/**
 * Imports the bundled text of a Dag file. The one place in the project with an import whose name is not written in the
 * source: the text came over the channel and is nowhere on disk.
 */
import { registerHooks } from 'node:module';
import * as sdk from '../author/index.ts';

/** Where bundled modules seem to lie; stack traces show source files below it, and stack.ts cuts it off. */
export const MODULE_ROOT = 'file:///airlock-bundle/';

/** What a Dag module imports. Not a file: this process may itself be one bundled file, and must not load a second SDK. */
const SDK_NAME = '@airlock/sdk';
const SDK_URL = 'airlock:sdk';
const SDK_KEY = Symbol.for('airlock.sdk.exports');

const texts = new Map<string, string>();
let prepared = false;

/** What can be done before a module is known. Safe to repeat. */
export function prepareLoading(): void {
  if (prepared) return;
  prepared = true;
  process.setSourceMapsEnabled(true);
  Object.defineProperty(globalThis, SDK_KEY, { value: sdk });
  const names = Object.keys(sdk).join(', ');
  texts.set(SDK_URL, `export const { ${names} } = globalThis[Symbol.for('airlock.sdk.exports')];`);
  registerHooks({
    resolve(specifier, context, next) {
      const url = specifier === SDK_NAME ? SDK_URL : specifier;
      return texts.has(url) ? { url, format: 'module', shortCircuit: true } : next(specifier, context);
    },
    load(url, context, next) {
      const source = texts.get(url);
      return source === undefined ? next(url, context) : { format: 'module', source, shortCircuit: true };
    },
  });
}

/**
 * The exports of the module. Stack traces of its code name the author's files and lines, by the inline source map.
 * @param name of the module, for messages; distinct texts need distinct names.
 * @throws what the module throws while it is imported
 */
export async function loadModule(name: string, code: string): Promise<Readonly<Record<string, unknown>>> {
  prepareLoading();
  const url = `${MODULE_ROOT}${encodeURIComponent(name)}.mjs`;
  texts.set(url, code);
  return (await import(url)) as Readonly<Record<string, unknown>>;
}
