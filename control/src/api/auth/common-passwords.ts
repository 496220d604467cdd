/** Passwords that are tried first, out of the list that zxcvbn's maintainers keep. Read when the first password is set. */

let common: Promise<ReadonlySet<string>> | undefined;

async function load(minLength: number): Promise<ReadonlySet<string>> {
  const { dictionary } = await import('@zxcvbn-ts/language-common');
  // Shorter ones are refused anyway; holding them would cost megabytes.
  return new Set(dictionary['passwords-common'].filter((each) => each.length >= minLength));
}

/**
 * Whether the whole of it is in the list, in any case of its letters.
 * @param minLength characters that a password has anyway, the same at every call
 */
export async function isCommonPassword(password: string, minLength: number): Promise<boolean> {
  common ??= load(minLength);
  return (await common).has(password.toLowerCase());
}
