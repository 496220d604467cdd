/** What a parent and one sandboxed child say to each other, whoever started the child. */
import type { Socket } from 'node:net';
import { AppError } from '@airlock/contract/errors';
import {
  type FromRunner,
  MAX_CHILD_FRAME_BYTES,
  MAX_PARENT_FRAME_BYTES,
  runnerNotice,
  runnerRequest,
} from '@airlock/contract/ipc/runner';
import { BrokenFrame, encodeFrame, FrameDecoder } from '../frames.ts';
import type { SandboxedChild } from './types.ts';

const FRAME_TYPES = new Set<string>(runnerNotice.options.map((o) => o.shape.type.value));

export type ChildChannel = Pick<SandboxedChild, 'send' | 'onFrame' | 'onBroken'> & {
  /** Resolves when nothing more can come. */
  readonly ended: Promise<void>;
};

/** Frames of one child: decoded, checked, and kept until somebody listens. */
function readFrames(
  channel: Socket,
  broken: (reason: string) => void,
): (listener: (frame: FromRunner) => void) => void {
  const decoder = new FrameDecoder(MAX_CHILD_FRAME_BYTES);
  const waiting: FromRunner[] = [];
  let listener: ((frame: FromRunner) => void) | null = null;
  const check = (frame: unknown): FromRunner => {
    const type = (frame as { type?: unknown } | null)?.type;
    const parsed = (typeof type === 'string' && FRAME_TYPES.has(type) ? runnerNotice : runnerRequest).safeParse(frame);
    if (!parsed.success)
      throw new BrokenFrame(`a message does not fit the contract: ${parsed.error.issues[0]?.message}`);
    return parsed.data;
  };
  channel.on('data', (chunk: Buffer) => {
    try {
      for (const frame of decoder.push(chunk)) {
        const checked = check(frame);
        if (listener === null) waiting.push(checked);
        else listener(checked);
      }
    } catch (error) {
      if (!(error instanceof BrokenFrame)) throw error;
      channel.destroy();
      broken(error.message);
    }
  });
  return (wanted) => {
    listener = wanted;
    for (const frame of waiting.splice(0)) wanted(frame);
  };
}

/** @param kill ends the child; called once a frame of it breaks the contract */
export function openChannel(channel: Socket, kill: () => void): ChildChannel {
  let onBroken: ((reason: string) => void) | null = null;
  let brokenReason: string | null = null;
  channel.on('error', () => undefined); // the child's end is gone; its exit says so
  const ended = new Promise<void>((resolve) => channel.once('close', () => resolve()));
  const onFrame = readFrames(channel, (reason) => {
    brokenReason = reason;
    kill();
    onBroken?.(reason);
  });
  return {
    ended,
    onFrame,
    onBroken(listener) {
      onBroken = listener;
      if (brokenReason !== null) listener(brokenReason);
    },
    send(frame) {
      if (channel.destroyed) return;
      let bytes: Buffer;
      try {
        bytes = encodeFrame(frame, MAX_PARENT_FRAME_BYTES);
      } catch (error) {
        throw new AppError('BODY_TOO_LARGE', {
          public: 'The message for the task process is too large.',
          cause: error,
        });
      }
      channel.write(bytes);
    },
  };
}
