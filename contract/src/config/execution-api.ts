import { TASK_AUDIENCE } from './audiences.ts';
import { bool, choice, int, text } from './options.ts';
import { AUDIENCES } from './rules.ts';

export const EXECUTION_API_OPTIONS = {
  jwt_audience: text(TASK_AUDIENCE, {
    readers: ['control', 'token-service'],
    rule: AUDIENCES,
    advice: 'Audience of workload and execution tokens. Of a comma list the first is written, all are accepted.',
  }),
  jwt_expiration_time: int(300, {
    readers: ['control'],
    unit: 's',
    min: 30,
    max: 300,
    above: 'lower',
    advice: 'Lifetime of an execution token; renewed while the try runs. Airflow has 600; here no token lives so long.',
  }),
  rights_mode: choice(['auto', 'strict', 'airflow'], 'auto', {
    readers: ['control'],
    advice:
      'auto: Dags that declare needs get exactly these, others what Airflow allows. strict or airflow forces one for all.',
  }),
  token_binding: choice(['preferred', 'required', 'off'], 'preferred', {
    readers: ['control'],
    advice:
      'Whether the tokens of tries work only together with the key of their worker. preferred: yes, but for the queues in `[workers] command_queues`. required: no token works without, so that `command_queues` must be empty. off: none is bound, for a proxy that can not pass proofs on; shown in health.',
  }),
  airflow_workload_tokens: bool(false, {
    readers: ['control'],
    advice:
      "Whether the keys of `[api_auth] trusted_jwks_url` may also sign workload tokens in the form of Airflow's own scheduler (`typ` JWT). Such a token is not bound to a worker's key: whoever copies it can start that try.",
  }),
};
