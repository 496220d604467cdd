import { int, optionalText, text } from './options.ts';
import { NOT_EMPTY } from './rules.ts';

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
  jwt_issuer: optionalText({
    readers: ['control', 'token-service'],
    advice: 'Issuer that is written into every token and demanded from every token. Unset: neither.',
  }),
  jwt_leeway: int(10, {
    readers: ['control'],
    unit: 's',
    min: 0,
    max: 60,
    advice: 'How far clocks may disagree when an instant in a token is judged.',
  }),
};
