/** The embedded PostgreSQL: where its programs are, making a cluster, running it. */
export { give, type PostgresAccount, postgresAccount } from './account.ts';
export { type PostgresBinaries, preparePostgres } from './binaries.ts';
export { clusterExists, type InitOptions, initCluster } from './init.ts';
export { type PostgresOptions, type PostgresServer, readPidFile, startPostgres, stopLeftover } from './server.ts';
