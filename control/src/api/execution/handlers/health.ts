import type { OpenHandler } from '../routes.ts';

export const health: OpenHandler = async () => ({ status: 200, body: { status: 'healthy' } });

/** The reference names its validator here, and its health check reads the lists. */
const VALIDATOR = 'airflow.api_fastapi.auth.tokens.JWTValidator';

export const ping: OpenHandler = async (context) => {
  const { signingWorks, trustedKeysOverdue } = context.deps;
  const why = !(await signingWorks())
    ? 'A token could not be made and verified.'
    : trustedKeysOverdue()
      ? 'The trusted keys could not be read for some time.'
      : null;
  if (why === null) return { status: 200, body: { ok: [VALIDATOR], failing: {} } };
  return { status: 500, body: { ok: [], failing: { [VALIDATOR]: why } } };
};
