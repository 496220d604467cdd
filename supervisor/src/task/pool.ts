/**
 * Idle runners, started ahead and used once each. They hide what starting a process costs, and leave at most that many
 * processes around; they don't make the machine faster, so a burst beyond them starts its own.
 */
import { launchSandboxed, type SandboxedChild, type SandboxSpec } from '@airlock/proc/sandbox/index';

export type RunnerPool = {
  /** An idle runner, or a starting one. Never one that was used. @throws AppError as launchSandboxed */
  take(): SandboxedChild;
  /** Starts runners until the pool is full again. Called when a try is over, so that it does not compete with one. */
  refill(): void;
  stop(): Promise<void>;
};

/** @param onFailure an idle runner could not be started; the pool goes on without it, and a try will say why */
export function createRunnerPool(spec: SandboxSpec, size: number, onFailure: (error: unknown) => void): RunnerPool {
  const idle: SandboxedChild[] = [];
  let stopped = false;

  const start = (): SandboxedChild => {
    const child = launchSandboxed(spec);
    // One that dies while it waits is replaced when somebody needs it, and not before: it might die again at once.
    void child.exited.then(() => {
      const index = idle.indexOf(child);
      if (index >= 0) idle.splice(index, 1);
    });
    return child;
  };
  return {
    take: () => idle.shift() ?? start(),
    refill() {
      try {
        while (!stopped && idle.length < size) idle.push(start());
      } catch (error) {
        onFailure(error);
      }
    },
    async stop() {
      stopped = true;
      await Promise.all(idle.splice(0).map((child) => child.kill()));
    },
  };
}
