export { configuredKeys } from './configured-keys.ts';
export { type KeyFolder, openKeyFolder, PUBLISHED_AHEAD_SECONDS, SIGNING_KEY_FILE } from './key-folder.ts';
export { createSigner, type Signer, type SignerOptions } from './mint.ts';
export { type Peer, startTokenServer, type TokenServer, type TokenServerOptions, type TokenService } from './server.ts';
export { keyPair, oneKeyPair, type SigningKey, type SigningKeys, secretKey } from './signing-keys.ts';
