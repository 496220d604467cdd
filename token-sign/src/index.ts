export { loadSigningKey, SIGNING_KEY_FILE, type SigningKey } from './key-file.ts';
export { createSigner, type Signer, type SignerOptions } from './mint.ts';
export { type Peer, startTokenServer, type TokenServer, type TokenServerOptions } from './server.ts';
