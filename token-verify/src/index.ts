export { createProofVerifier, type ProofRequest, type ProofVerifier, type ProvenKey } from './proof.ts';
export { thumbprint } from './thumbprint.ts';
export { createVerifier, peekUnverifiedKind, type TokenVerifier, type VerifierOptions } from './verifier.ts';
