export { checkSignature, isUnknownKey, readCompact, type SecretChecker } from './jws.ts';
export { type KeySet, publicKeyOf, readKeySet, type VerificationKey } from './key-set.ts';
export { createProofVerifier, type ProofRequest, type ProofVerifier, type ProvenKey } from './proof.ts';
export { thumbprint } from './thumbprint.ts';
export {
  createVerifier,
  isOfAirflowForm,
  peekUnverifiedKind,
  type TokenVerifier,
  type VerifierOptions,
} from './verifier.ts';
