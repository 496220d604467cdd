/** What an operator may do with the keys, asked over the socket or, while nothing runs, on the files. */
import { AppError } from '@airlock/contract/errors';
import type { ListedKey } from '@airlock/contract/ipc/token-service';
import type { KeyFolder } from './key-folder.ts';
import type { SigningKeys } from './signing-keys.ts';

export type KeyOperation =
  | { readonly op: 'list_keys' }
  | { readonly op: 'rotate_key' }
  | { readonly op: 'retire_key'; readonly kid: string };
/** `folder` is null when the configuration names the one key. */
export type OperatedKeys = { readonly keys: SigningKeys; readonly folder: KeyFolder | null };

/** @returns the keys afterwards. @throws CONFLICT · NOT_FOUND · KEY_UNAVAILABLE */
export function operate({ keys, folder }: OperatedKeys, operation: KeyOperation): readonly ListedKey[] {
  if (folder) {
    if (operation.op === 'rotate_key') folder.rotate();
    if (operation.op === 'retire_key') folder.retire(operation.kid);
    return folder.list();
  }
  if (operation.op !== 'list_keys') {
    throw new AppError('CONFLICT', {
      public: 'The signing key is named by the configuration, so it is not Airlock that changes it.',
      remedy: 'Change [api_auth] jwt_private_key_path or jwt_secret; see docs/security/deployment.md, Keys.',
    });
  }
  const { kid, alg } = keys.current();
  return [{ kid, alg, state: 'signing', signs_from: null, verifies_until: null }];
}
