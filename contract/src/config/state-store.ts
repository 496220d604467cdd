import { bool, int } from './options.ts';

export const STATE_STORE_OPTIONS = {
  clear_on_success: bool(false, {
    readers: ['control'],
    advice: 'Success of a task removes what it has kept in its state store.',
  }),
  default_retention_days: int(30, {
    readers: ['control'],
    unit: 'days',
    min: 0,
    max: 36_500,
    advice:
      'How long a value lives that is put into the state store of a task over the REST API without a time of its own; 0 = for ever.',
  }),
  max_value_storage_bytes: int(65_535, {
    readers: ['control'],
    unit: 'bytes',
    min: 0,
    max: 16_777_216,
    advice: 'Largest value that the REST API puts into a state store; 0 = as large as a request may be.',
  }),
};
