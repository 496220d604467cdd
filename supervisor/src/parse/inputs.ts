/** The files that a parse depends on, as one look at the folder sees them: each is looked at once, whoever needs it. */
import { statSync } from 'node:fs';
import { resolve } from 'node:path';
import { splitArchivePath } from './archive.ts';
import { allowedInput, digestOf, isInside, readInside, stampOf } from './digest.ts';
import { packageFolders } from './scan.ts';

/** File times lag behind the clock by up to a tick of the kernel. */
const FILE_TIME_GRAIN_MS = 10;

/** Files of a package stand for its package.json: it is replaced when npm installs another version. */
export function standIn(name: string): string {
  const match = /^(.*(?:^|\/)node_modules\/(?:@[^/]+\/)?[^/]+)\//.exec(name);
  return match ? `${match[1]}/package.json` : name;
}

export class Inputs {
  readonly #root: string;
  readonly #packages: readonly string[];
  readonly #folders: readonly string[];
  readonly #stamps = new Map<string, string>();

  constructor(root: string) {
    this.#root = root;
    this.#packages = packageFolders(root);
    this.#folders = [root, ...this.#packages];
  }

  /** The file that a name stands for: a module of an archive is as new as its archive, which holds what it imports. */
  fileOf(name: string): string {
    const inner = splitArchivePath(name);
    const isModule =
      inner !== null && statSync(resolve(this.#root, inner.archive), { throwIfNoEntry: false })?.isFile();
    return isModule ? inner.archive : name;
  }

  /** Changes when the file does. Nothing is read; by name, so that it is cheap: contents go by the stricter `pathOf`. */
  stamp(name: string): string {
    let stamp = this.#stamps.get(name);
    if (stamp === undefined) {
      const path = resolve(this.#root, this.fileOf(name));
      stamp = isInside(path, this.#folders) ? stampOf(path) : 'absent';
      this.#stamps.set(name, stamp);
    }
    return stamp;
  }

  stamps(names: readonly string[]): Map<string, string> {
    return new Map(names.map((name) => [name, this.stamp(name)]));
  }

  /** Those of a parse's inputs that it could see, packages by their stand-ins, each once. */
  accept(names: readonly string[]): readonly string[] {
    return [...new Set(names.map(standIn))].filter((name) => this.pathOf(name) !== null).sort();
  }

  pathOf(name: string): string | null {
    return allowedInput(this.#root, this.#packages, this.fileOf(name));
  }

  /** Null when it is not there, or not for us to read. */
  read(name: string): Buffer | null {
    const path = this.pathOf(name);
    return path === null ? null : readInside(path, this.#folders);
  }

  /** Text of a Dag file; empty when it is gone. Null for a module of an archive, which only the child unpacks. */
  source(name: string): string | null {
    return this.fileOf(name) === name ? (this.read(name)?.toString('utf8') ?? '') : null;
  }

  digest(names: readonly string[]): string {
    return digestOf(names.map((name) => ({ name, content: this.read(name) })));
  }

  /** By the file's own time; for a file of which there is no stamp from before. */
  modifiedSince(name: string, sinceMs: number, nowMs: number): boolean {
    const path = this.pathOf(name);
    const changedMs = path === null ? 0 : (statSync(path, { throwIfNoEntry: false })?.mtimeMs ?? 0);
    return changedMs >= sinceMs - FILE_TIME_GRAIN_MS && changedMs <= nowMs;
  }
}
