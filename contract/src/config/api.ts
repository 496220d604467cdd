import { bool, choice, int, list, number, optionalText, text } from './options.ts';
import { HOST, HTTP_URL, ORIGIN, PATH, PROXY } from './rules.ts';

export const API_OPTIONS = {
  host: text('127.0.0.1', {
    readers: ['standalone', 'control', 'cli'],
    unit: 'address',
    rule: HOST,
    formerly: ['webserver.web_server_host'],
    advice:
      'Address to listen on. Airflow listens on every address; here only this machine can connect until you say otherwise.',
  }),
  port: int(8080, {
    readers: ['standalone', 'control', 'cli'],
    unit: 'port',
    min: 0,
    max: 65535,
    formerly: ['webserver.web_server_port'],
    advice: 'Port of the API server. 0 takes any free one; the healthy line names it.',
  }),
  base_url: optionalText({
    readers: ['standalone', 'control', 'cli', 'supervisor'],
    unit: 'URL',
    rule: HTTP_URL,
    formerly: ['webserver.base_url'],
    advice:
      'Public address when a proxy stands in front. Unset: built from host and port. Python tasks make their links with it.',
  }),
  trusted_proxies: list([], {
    readers: ['control'],
    unit: 'addresses',
    rule: PROXY,
    advice:
      'Proxies whose `X-Forwarded-For`, `-Proto` and `-Host` are believed (`--forwarded-allow-ips` of uvicorn under Airflow). Behind one that is not listed, log-ins of all users count as from one address.',
  }),
  ssl_cert: optionalText({
    readers: ['standalone', 'control', 'supervisor'],
    unit: 'path',
    rule: PATH,
    formerly: ['webserver.web_server_ssl_cert'],
    advice:
      'Certificate of the API server, PEM, its chain behind it; with `ssl_key` the server speaks TLS and nothing else. A worker that has it accepts this certificate and no other.',
  }),
  ssl_key: optionalText({
    readers: ['standalone', 'control'],
    unit: 'path',
    rule: PATH,
    formerly: ['webserver.web_server_ssl_key'],
    advice: 'Private key of that certificate, PEM without a passphrase, a file that not everybody may read.',
  }),
  ssl_ca_file: optionalText({
    readers: ['standalone', 'supervisor'],
    unit: 'path',
    rule: PATH,
    advice: 'Authorities, PEM, by which a worker checks the certificate of the API server instead of the public ones.',
  }),
  insecure_plain_http: bool(false, {
    readers: ['standalone', 'control', 'supervisor'],
    advice:
      'Speak plain http over a network too, where others on the way can read passwords and tokens. Without it only loopback and Unix sockets are plain.',
  }),
  maximum_page_limit: int(100, {
    readers: ['control'],
    unit: 'rows',
    min: 1,
    max: 10_000,
    advice: 'Largest `limit` that a list answers; a larger one is lowered silently.',
  }),
  fallback_page_limit: int(50, {
    readers: ['control'],
    unit: 'rows',
    min: 1,
    max: 10_000,
    formerly: ['api.page_size', 'webserver.page_size'],
    advice: 'The `limit` of a request that names none.',
  }),
  access_control_allow_origins: list([], {
    readers: ['control'],
    unit: 'origins',
    rule: ORIGIN,
    advice: 'Origins that may call from a browser (CORS). `*` is refused.',
  }),
  expose_config: choice(['False', 'True', 'non-sensitive-only'], 'False', {
    readers: ['control'],
    advice: 'Whether `GET /api/v2/config` answers; sensitive values stay hidden either way.',
  }),
  enable_swagger_ui: bool(true, {
    readers: ['control'],
    advice: 'Whether `/docs` shows the REST API to people; `/openapi.json` is there either way.',
  }),
  max_body_bytes: int(1024 * 1024, {
    readers: ['control'],
    unit: 'bytes',
    min: 1024,
    advice:
      'Largest request body, decided before it is read. XComs, parse reports and log chunks have limits of their own.',
  }),
  search_timeout: int(10, {
    readers: ['control'],
    unit: 's',
    min: 1,
    max: 300,
    advice:
      'How long PostgreSQL may look for what a pattern or another free text filters; then it stops, and the answer is 400. Two searches run at a time in one API server.',
  }),
  caller_points_per_second: int(50_000, {
    readers: ['control'],
    unit: 'points per second',
    min: 1000,
    advice:
      'What one user, try or supervisor may cost one API server: a point is about a tenth of a listed row, and a refusal counts ten times. Beyond it the answer is 429 with Retry-After; what keeps a try alive costs nothing.',
  }),
  team_points_per_second: int(200_000, {
    readers: ['control'],
    unit: 'points per second',
    min: 1000,
    advice: 'The same for all users and tries of a team together.',
  }),
  request_timeout: number(30, {
    readers: ['control'],
    unit: 's',
    min: 1,
    advice: 'Time that a client has to send a whole request.',
  }),
};
