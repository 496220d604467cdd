export {
  type Database,
  type DatabaseOptions,
  type Db,
  empty,
  join,
  openDatabase,
  raw,
  type Sql,
  sql,
} from './database.ts';
export { decodeEvent, EVENT_CHANNEL, encodeEvent, notify, type StoreEvent } from './events.ts';
