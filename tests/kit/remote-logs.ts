/**
 * Remote logging without a cloud: a package for the user's Python with a log handler of its own, as `[logging]
 * logging_config_class` names one, and the store that it uploads to, a test double on loopback that keeps what it is sent.
 * Written against the interface that Airflow 3.3 gives to such handlers.
 */
import { chmodSync, writeFileSync } from 'node:fs';
import { createServer } from 'node:http';
import type { AddressInfo } from 'node:net';
import { join } from 'node:path';

const handler = `import json, os, urllib.request
from pathlib import Path
from urllib.parse import urlsplit
from airflow.sdk.configuration import conf

class LoopbackLogs:
    processors = ()
    # As the handlers of the cloud providers do: when the module is imported, which is before there is a try.
    folder = Path(conf.get("logging", "base_log_folder"))

    def upload(self, path, ti=None):
        from airflow.sdk import BaseHook

        file = self.folder / path
        password = BaseHook.get_connection(conf.get("logging", "remote_log_conn_id")).password
        address = urlsplit(conf.get("logging", "remote_base_log_folder")).netloc
        request = urllib.request.Request(f"http://{address}/{path}", data=file.read_bytes(), method="PUT")
        request.add_header("authorization", password)
        request.add_header("environment", json.dumps(sorted(os.environ)))
        urllib.request.urlopen(request, timeout=20).close()

    def read(self, relative_path, ti):
        return [], []

REMOTE_TASK_LOG = LoopbackLogs()
# Airflow wants a handler that could read logs back; nobody asks it here.
LOGGING_CONFIG = {
    "version": 1,
    "disable_existing_loggers": False,
    "handlers": {"task": {"class": "logging.NullHandler"}},
    "loggers": {"airflow.task": {"handlers": ["task"], "level": "INFO"}},
}
`;
/** What `[logging] logging_config_class` says. */
export const LOGGING_CONFIG_CLASS = 'loopback_logs.LOGGING_CONFIG';

export type Upload = {
  readonly password: string;
  /** Names of the variables of the process that uploaded. */
  readonly environment: readonly string[];
  readonly text: string;
};
export type LogStore = Disposable & {
  /** `127.0.0.1:PORT` */
  readonly address: string;
  /** Path → what came there last. */
  readonly uploads: ReadonlyMap<string, Upload>;
};

/** Puts the package into a folder, and lets other users read it. */
export function installHandler(folder: string): void {
  chmodSync(folder, 0o755);
  writeFileSync(join(folder, 'loopback_logs.py'), handler);
}

/** @param refuse path → whether the store is broken for it */
export async function startLogStore(refuse: (path: string) => boolean = () => false): Promise<LogStore> {
  const uploads = new Map<string, Upload>();
  const server = createServer((request, response) => {
    const parts: Buffer[] = [];
    request.on('data', (part: Buffer) => parts.push(part));
    request.on('end', () => {
      const path = decodeURIComponent(request.url!.slice(1));
      const broken = refuse(path);
      if (!broken)
        uploads.set(path, {
          password: request.headers.authorization ?? '',
          environment: JSON.parse(String(request.headers.environment)) as string[],
          text: Buffer.concat(parts).toString('utf8'),
        });
      response.writeHead(broken ? 500 : 200).end();
    });
  });
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', () => resolve()));
  const { port } = server.address() as AddressInfo;
  return {
    address: `127.0.0.1:${port}`,
    uploads,
    [Symbol.dispose]: () => {
      server.close();
      server.closeAllConnections();
    },
  };
}
