/** Stands in for token-service: keeps the channel, tells which process it was told to serve. */
import { receiveHandover } from '@airlock/proc/handover';

const handover = await receiveHandover('token-service');
handover.onMessage((message) => {
  if (message.type === 'peer') console.log(`peer ${message.uid} ${message.pid}`);
});
handover.onStop(() => process.exit(0));
handover.ready({ uid: process.getuid!() });
