/** Bundled Dag modules, kept in memory by their hash: the tries of one Dag version share one download. */
import { createHash } from 'node:crypto';
import { AppError } from '@airlock/contract/errors';
import type { ExecutionClient, TokenHolder } from '../client/index.ts';

const MAX_CACHED_BYTES = 64 * 1024 * 1024;

export class ModuleCache {
  readonly #client: ExecutionClient;
  /** Oldest use first. */
  readonly #modules = new Map<string, string>();
  readonly #loading = new Map<string, Promise<string>>();
  #bytes = 0;

  constructor(client: ExecutionClient) {
    this.#client = client;
  }

  /**
   * The module's text; its SHA-256 is `hash`, whatever the server sent.
   * @throws AppError NOT_FOUND when the server gives none, or another one
   */
  async get(hash: string, taskInstanceId: string, token: TokenHolder): Promise<string> {
    const known = this.#modules.get(hash);
    if (known !== undefined) {
      this.#modules.delete(hash);
      this.#modules.set(hash, known);
      return known;
    }
    // Shared by tries that start together; each has its own right to it, and the text is the same by its hash.
    const loading = this.#loading.get(hash) ?? this.#load(hash, taskInstanceId, token);
    this.#loading.set(hash, loading);
    try {
      return await loading;
    } finally {
      this.#loading.delete(hash);
    }
  }

  async #load(hash: string, taskInstanceId: string, token: TokenHolder): Promise<string> {
    const answer = await this.#client.call({
      token,
      method: 'GET',
      path: `/dag-modules/${taskInstanceId}`,
      timeoutMs: 30_000,
    });
    const code = answer.text();
    if (answer.status !== 200 || createHash('sha256').update(code).digest('hex') !== hash) {
      throw new AppError('NOT_FOUND', {
        public: `The module of this Dag version could not be loaded (${answer.status}).`,
        internal: { status: answer.status, hash },
      });
    }
    this.#modules.set(hash, code);
    this.#bytes += code.length;
    for (const [oldest, text] of this.#modules) {
      if (this.#bytes <= MAX_CACHED_BYTES || oldest === hash) break;
      this.#modules.delete(oldest);
      this.#bytes -= text.length;
    }
    return code;
  }
}
