import { choice, int, list, optionalText, text } from './options.ts';
import { JWKS_LOCATION, NOT_EMPTY, PATH } from './rules.ts';

export const API_AUTH_OPTIONS = {
  jwt_audience: text('apache-airflow', {
    readers: ['control', 'token-service'],
    rule: NOT_EMPTY,
    formerly: ['api.jwt_audience'],
    advice: 'Audience of user tokens. Give each deployment its own, so that a token of one means nothing to another.',
  }),
  jwt_expiration_time: int(86_400, {
    readers: ['control'],
    unit: 's',
    min: 60,
    max: 7 * 86_400,
    advice: 'Lifetime of a user token. Roles are read at request time, so a long life does not keep a lost role alive.',
  }),
  jwt_cli_expiration_time: int(3600, {
    readers: ['control', 'cli'],
    unit: 's',
    min: 60,
    max: 86_400,
    advice: 'Lifetime of a token from the log-in route of the command line.',
  }),
  jwt_secret: optionalText({
    readers: ['token-service'],
    sensitive: true,
    advice:
      'Signs tokens with a secret instead of a key pair; for moving from Airflow. At least 64 bytes (HS384: 48, HS256: 32). ' +
      'Only token-service holds it, which then also verifies. Leave it unset: a key pair is made at the first start.',
  }),
  jwt_private_key_path: optionalText({
    readers: ['token-service'],
    rule: PATH,
    unit: 'path',
    advice:
      'Private key in PEM that signs tokens: Ed25519, RSA of 2048 bits or more, or EC P-256; readable by token-service alone. ' +
      'Unset: Ed25519 keys in $AIRLOCK_HOME/keys/signing, which only standalone makes.',
  }),
  jwt_algorithm: choice(['GUESS', 'EdDSA', 'RS256', 'RS512', 'ES256', 'HS256', 'HS384', 'HS512'], 'GUESS', {
    readers: ['control', 'token-service'],
    advice:
      'GUESS: EdDSA, RS256 or ES256 by the kind of the key, HS512 for a secret. Another value must fit the key; RS512 must be named.',
  }),
  jwt_kid: optionalText({
    readers: ['token-service'],
    advice:
      'Name of the key in the header of tokens, with jwt_private_key_path or jwt_secret. Unset: the thumbprint of RFC 7638, ' +
      'and not-used with a secret.',
  }),
  session_lifetime: int(7 * 86_400, {
    readers: ['control'],
    unit: 's',
    min: 300,
    max: 30 * 86_400,
    advice:
      'When a browser must log in again, however much it is used. Until then its cookie is renewed by use; unused it ends after jwt_expiration_time.',
  }),
  trusted_jwks_url: optionalText({
    readers: ['control'],
    rule: JWKS_LOCATION,
    advice:
      'Public keys of others (a JWK set, RFC 7517) whose tokens count besides our own: an absolute path or an https address. ' +
      'Whoever has such a key can be any user and any task here: name only signers of this deployment.',
  }),
  trusted_jwks_refresh_interval: int(60, {
    readers: ['control'],
    unit: 's',
    min: 10,
    max: 86_400,
    advice:
      'How often trusted_jwks_url is read again; a key that was taken out of it is refused after this at the latest.',
  }),
  jwt_issuer: list([], {
    readers: ['control', 'token-service'],
    advice:
      'Issuer that is written into every token and demanded from every token. Of a comma list the first is written, any is ' +
      'accepted. Unset: neither.',
  }),
  jwt_leeway: int(10, {
    readers: ['control'],
    unit: 's',
    min: 0,
    max: 60,
    advice: 'How far clocks may disagree when an instant in a token is judged.',
  }),
};
