/**
 * Whether an RSA modulus was made by the generator of CVE-2017-15361, whose primes have the form k·M + (65537^a mod M) and
 * can be found. Such a modulus is a power of 65537 modulo each small prime; a random one is so with probability 2^-27.
 * @see Nemec et al., The Return of Coppersmith's Attack, CCS 2017, section 2.3
 */
const PRIMES = [11, 13, 17, 19, 37, 53, 61, 71, 73, 79, 97, 103, 107, 109, 127, 151, 157];
const POWERS: ReadonlyArray<readonly [prime: bigint, powers: ReadonlySet<number>]> = PRIMES.map((prime) => {
  const powers = new Set<number>();
  for (let power = 1; !powers.has(power); power = (power * 65_537) % prime) powers.add(power);
  return [BigInt(prime), powers];
});

export function hasRocaFingerprint(modulus: bigint): boolean {
  return POWERS.every(([prime, powers]) => powers.has(Number(modulus % prime)));
}
