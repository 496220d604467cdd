import { bool } from './options.ts';

export const STATE_STORE_OPTIONS = {
  clear_on_success: bool(false, {
    readers: ['control'],
    advice: 'Success of a task removes what it has kept in its state store.',
  }),
};
