import type { OpenHandler } from '../routes.ts';

export const health: OpenHandler = async () => ({ status: 200, body: { status: 'healthy' } });

/** The reference names its validator here, and its health check reads the lists. */
const VALIDATOR = 'airflow.api_fastapi.auth.tokens.JWTValidator';

export const ping: OpenHandler = async (context) => {
  if (await context.deps.signingWorks()) return { status: 200, body: { ok: [VALIDATOR], failing: {} } };
  return { status: 500, body: { ok: [], failing: { [VALIDATOR]: 'A token could not be made and verified.' } } };
};
