/** The Unix socket of token-service: one JSON object per line, answers in any order, for known peers only. */
import { chmodSync, mkdirSync, unlinkSync } from 'node:fs';
import { createServer, type Server, type Socket } from 'node:net';
import { dirname } from 'node:path';
import { AppError, isAppError } from '@airlock/contract/errors';
import {
  MAX_TOKEN_SERVICE_LINE_BYTES,
  type TokenServiceAnswer,
  type TokenServiceRequest,
  tokenServiceRequest,
} from '@airlock/contract/ipc/token-service';
import type { Signer } from './mint.ts';
import { type OperatedKeys, operate } from './operate.ts';

export type Peer = { readonly uid: number; readonly pid: number };
export type TokenServer = {
  /** Names the one process that may ask from now on; a connection of another is closed. */
  readonly setPeer: (peer: Peer) => void;
  readonly close: () => Promise<void>;
};
/** What is asked for over the socket. */
export type TokenService = OperatedKeys & { readonly signer: Signer };
export type TokenServerOptions = {
  readonly socketPath: string;
  readonly service: TokenService;
  /** Kernel's word on who is connected; from @airlock/proc. */
  readonly credentialsOf: (socket: Socket) => Peer;
  /** User ids every process of which may ask; empty = only the named peer. */
  readonly peerUids: readonly number[];
  readonly onRefused: (peer: Peer) => void;
};

const MAX_CONNECTIONS = 16;
/** Requests of one connection that may be in work; beyond it we stop reading until some are answered. */
const MAX_IN_WORK = 1_000;

/** Listens; a missing folder is made for our user alone. @throws the error of listen(2) or mkdir(2) */
export async function startTokenServer(options: TokenServerOptions): Promise<TokenServer> {
  const open = new Map<Socket, Peer>();
  let named: Peer | null = null;
  const allowed = (peer: Peer): boolean =>
    options.peerUids.includes(peer.uid) || (named !== null && peer.uid === named.uid && peer.pid === named.pid);

  const server = createServer((socket) => {
    socket.on('error', () => socket.destroy());
    let peer: Peer;
    try {
      peer = options.credentialsOf(socket);
    } catch {
      socket.destroy(); // gone before it could be named
      return;
    }
    if (!allowed(peer)) {
      options.onRefused(peer);
      socket.destroy();
      return;
    }
    open.set(socket, peer);
    socket.on('close', () => open.delete(socket));
    serve(socket, options.service);
  });
  server.maxConnections = MAX_CONNECTIONS;

  const folder = dirname(options.socketPath);
  mkdirSync(folder, { recursive: true, mode: 0o700 });
  removeStale(options.socketPath);
  await listen(server, options.socketPath);
  // Who may come this far is decided by the folder: 0700 where the asker has our user id. Where standalone runs as root it
  // has another, and the folder lets it through. Either way the kernel's word decides who is answered.
  chmodSync(options.socketPath, 0o666);

  return {
    setPeer: (peer) => {
      named = peer;
      for (const [socket, who] of open) if (!allowed(who)) socket.destroy();
    },
    close: () =>
      new Promise((resolve) => {
        server.close(() => resolve());
        for (const socket of open.keys()) socket.destroy();
      }),
  };
}

function serve(socket: Socket, service: TokenService): void {
  let rest = '';
  let inWork = 0;
  socket.setEncoding('utf8');
  socket.on('data', (chunk: string) => {
    const lines = (rest + chunk).split('\n');
    rest = lines.pop() ?? '';
    if (
      rest.length > MAX_TOKEN_SERVICE_LINE_BYTES ||
      lines.some((line) => line.length > MAX_TOKEN_SERVICE_LINE_BYTES)
    ) {
      socket.destroy();
      return;
    }
    for (const line of lines) {
      if (++inWork >= MAX_IN_WORK) socket.pause();
      void answer(line, service).then((text) => {
        if (--inWork < MAX_IN_WORK) socket.resume();
        if (text === null) socket.destroy();
        else if (!socket.destroyed) socket.write(text);
      });
    }
  });
}

/** Null = not a request of ours: the connection ends. */
async function answer(line: string, service: TokenService): Promise<string | null> {
  let raw: unknown;
  try {
    raw = JSON.parse(line);
  } catch {
    return null;
  }
  const request = tokenServiceRequest.safeParse(raw);
  const id = (raw as { id?: unknown } | null)?.id;
  if (!request.success) {
    return Number.isSafeInteger(id)
      ? reply(id as number, { error: { code: 'BAD_REQUEST', message: 'Unknown request.' } })
      : null;
  }
  try {
    return reply(request.data.id, await perform(request.data, service));
  } catch (error) {
    if (!isAppError(error)) {
      return reply(request.data.id, { error: { code: 'INTERNAL', message: 'The token service has failed.' } });
    }
    const { code, message, remedy } = error;
    return reply(request.data.id, { error: { code, message, remedy } });
  }
}

async function perform(request: TokenServiceRequest, service: TokenService): Promise<WithoutId<TokenServiceAnswer>> {
  switch (request.op) {
    case 'mint': {
      const { id: _id, op: _op, ...wanted } = request;
      return { token: await service.signer.mint(wanted) };
    }
    case 'keys':
      return { keys: service.keys.verificationKeys() };
    case 'check':
      if (service.keys.secret === null) throw new AppError('BAD_REQUEST', { public: 'No secret signs here.' });
      return { valid: await service.keys.secret.check(request.token) };
    default:
      return { listed: operate(service, request) };
  }
}

type WithoutId<T> = T extends unknown ? Omit<T, 'id'> : never;
function reply(id: number, body: WithoutId<TokenServiceAnswer>): string {
  return `${JSON.stringify({ id, ...body })}\n`;
}

function removeStale(path: string): void {
  try {
    unlinkSync(path);
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code !== 'ENOENT') throw error;
  }
}

function listen(server: Server, path: string): Promise<void> {
  return new Promise((resolve, reject) => {
    server.once('error', reject);
    server.listen(path, () => resolve());
  });
}
