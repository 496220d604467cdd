/** Zip archives for tests, also ones that no program would write. */
import { crc32, deflateRawSync } from 'node:zlib';

export type ZipEntry = {
  readonly name: string;
  readonly content: string | Buffer;
  /** 8 = deflated, the default; 0 = stored; others say so and are stored. */
  readonly method?: number;
  readonly encrypted?: boolean;
  /** Packed bytes in place of those of the content. */
  readonly packed?: Buffer;
  /** What the directory says of the packed size. */
  readonly declaredBytes?: number;
};

/** @param before bytes ahead of the archive, as of a program that unpacks itself */
export function zipOf(entries: readonly ZipEntry[], comment = '', before: Buffer = Buffer.alloc(0)): Buffer {
  const parts: Buffer[] = [];
  const directory: Buffer[] = [];
  let at = 0;
  for (const { name, content, method = 8, encrypted = false, packed, declaredBytes } of entries) {
    const bytes = Buffer.from(content);
    const data = packed ?? (method === 8 ? deflateRawSync(bytes) : bytes);
    const nameBytes = Buffer.from(name);
    const shared = Buffer.alloc(26);
    shared.writeUInt16LE(20, 0);
    shared.writeUInt16LE((encrypted ? 1 : 0) | 0x800, 2);
    shared.writeUInt16LE(method, 4);
    shared.writeUInt16LE(0x21, 8);
    shared.writeUInt32LE(crc32(bytes), 10);
    shared.writeUInt32LE(declaredBytes ?? data.length, 14);
    shared.writeUInt32LE(bytes.length, 18);
    shared.writeUInt16LE(nameBytes.length, 22);
    const local = Buffer.concat([Buffer.from('PK\x03\x04', 'latin1'), shared, nameBytes, data]);
    const central = Buffer.alloc(14);
    central.writeUInt32LE(at, 10);
    directory.push(Buffer.from('PK\x01\x02\x14\x00', 'latin1'), shared, central, nameBytes);
    parts.push(local);
    at += local.length;
  }
  const list = Buffer.concat(directory);
  const end = Buffer.alloc(18);
  end.writeUInt16LE(entries.length, 4);
  end.writeUInt16LE(entries.length, 6);
  end.writeUInt32LE(list.length, 8);
  end.writeUInt32LE(at, 12);
  end.writeUInt16LE(comment.length, 16);
  return Buffer.concat([before, ...parts, list, Buffer.from('PK\x05\x06', 'latin1'), end, Buffer.from(comment)]);
}
