/** Stands in for control: a health answer, and all that it was given and saw, at /seen. */
import { createServer } from 'node:http';
import type { AddressInfo } from 'node:net';
import type { ControlValues } from '@airlock/contract/config/handed';
import { receiveHandover } from '@airlock/proc/handover';
import { openDatabase, sql } from '../../../store/src/index.ts';

const handover = await receiveHandover('control');
const values = handover.values as ControlValues;
const db = openDatabase({
  url: values.database_url,
  maxConnections: 1,
  applicationName: 'fake-control',
  onError: () => undefined,
});
const tickets: string[] = [];
handover.onMessage((message) => {
  if (message.type === 'ticket') tickets.push(message.ticket);
});
const server = createServer(async (request, response) => {
  const alive = await db.query(sql`SELECT current_user AS me`).catch(() => null);
  const status = { status: alive ? 'healthy' : 'unhealthy' };
  const health = { metadatabase: status, scheduler: status, dag_processor: status };
  const seen = { values, tickets, uid: process.getuid!(), pid: process.pid, env: process.env, role: alive, status };
  response.end(JSON.stringify(request.url === '/seen' ? seen : health));
});
const { api } = values.config as { api: { host: string; port: number } };
server.listen(api.port, api.host, () => {
  const { port } = server.address() as AddressInfo;
  handover.ready({ url: `http://${api.host}:${port}`, admin_created: values.admin_password !== null });
});
server.on('error', () => process.exit(1));
handover.onStop(() => process.exit(0));
