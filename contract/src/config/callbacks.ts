import { int } from './options.ts';

/** What a worker has left to report the end of a callback after its limit. */
export const CALLBACK_REPORT_SECONDS = 10;
/** Callbacks do not renew their token, which lives 300 s. */
export const MAX_CALLBACK_SECONDS = 290;

export const CALLBACKS_OPTIONS = {
  callback_execution_timeout: int(0, {
    readers: ['control'],
    unit: 's',
    min: 0,
    max: MAX_CALLBACK_SECONDS,
    advice: 'Longest run of a callback that the server starts, and life of its token; 0 = the longest, 290.',
  }),
};
