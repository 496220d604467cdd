/**
 * Imports the bundled text of a Dag file. The one place in the project with an import whose name is not written in the
 * source: the text came over the channel and is nowhere on disk.
 */
import { registerHooks } from 'node:module';

/** Where bundled modules seem to lie; stack traces show source files below it, and stack.ts cuts it off. */
export const MODULE_ROOT = 'file:///airlock-bundle/';

const SDK_MODULES: Readonly<Record<string, string>> = {
  '@airlock/sdk': new URL('../author/index.ts', import.meta.url).href,
  '@airlock/sdk/testing': new URL('../author/testing.ts', import.meta.url).href,
};
const texts = new Map<string, string>();
let hooked = false;

function hook(): void {
  if (hooked) return;
  hooked = true;
  registerHooks({
    resolve(specifier, context, next) {
      if (texts.has(specifier)) return { url: specifier, format: 'module', shortCircuit: true };
      // The module and this process must share one copy of the SDK, wherever the module seems to lie.
      const own = SDK_MODULES[specifier];
      return own === undefined ? next(specifier, context) : { url: own, shortCircuit: true };
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
  process.setSourceMapsEnabled(true);
  hook();
  const url = `${MODULE_ROOT}${encodeURIComponent(name)}.mjs`;
  texts.set(url, code);
  return (await import(url)) as Readonly<Record<string, unknown>>;
}
