import type { OpenHandler } from '../routes.ts';

export const health: OpenHandler = async () => ({ status: 200, body: { status: 'healthy' } });

/** The reference names its validator here, and its health check reads the lists. Our keys come with the process. */
export const ping: OpenHandler = async () => ({
  status: 200,
  body: { ok: ['airflow.api_fastapi.auth.tokens.JWTValidator'], failing: {} },
});
