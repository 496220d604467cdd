/** The partitions that a schedule of assets asks for. Pure. @see scheduling semantics 3.4 */
import { createHash } from 'node:crypto';
import { canonical } from '../canonical.ts';
import { isObject } from '../values.ts';
import { buildMapper, type PartitionMapper } from './mappers.ts';

export { type PartitionMapper, suffices } from './mappers.ts';

export type PartitionSchedule = {
  readonly mapperOf: (asset: { readonly name?: string; readonly uri?: string }) => PartitionMapper;
  /** Changes when keys may map otherwise; other changes of the Dag leave it. */
  readonly definition: string;
};

type Fields = Readonly<Record<string, unknown>>;

/** @throws DAG_INVALID a mapper that is not known */
export function readPartitionSchedule(fields: Fields): PartitionSchedule {
  const byName = new Map<string, PartitionMapper>();
  const byUri = new Map<string, PartitionMapper>();
  const { partition_mapper_config: config = [], default_partition_mapper: standard } = fields;
  const pairs = Array.isArray(config) ? config.filter((pair) => Array.isArray(pair)) : [];
  for (const [asset, document] of pairs) {
    const mapper = buildMapper(document);
    for (const { name, uri } of namedIn(asset)) {
      if (name !== undefined) byName.set(name, mapper);
      if (uri !== undefined) byUri.set(uri, mapper);
    }
  }
  const otherwise = buildMapper(standard ?? { __type: 'airflow.partition_mappers.identity.IdentityMapper', __var: {} });
  return {
    mapperOf: ({ name, uri }) => byName.get(name ?? '') ?? byUri.get(uri ?? '') ?? otherwise,
    definition: createHash('sha256')
      .update(canonical([config, standard ?? null]))
      .digest('hex')
      .slice(0, 32),
  };
}

/** Names and uris that an expression of assets holds. */
export function namedIn(value: unknown): Array<{ name?: string; uri?: string }> {
  if (!isObject(value)) return [];
  if (value.__type === 'asset' || value.__type === 'asset_ref') {
    return [
      {
        ...(typeof value.name === 'string' && { name: value.name }),
        ...(typeof value.uri === 'string' && { uri: value.uri }),
      },
    ];
  }
  return Array.isArray(value.objects) ? value.objects.flatMap(namedIn) : [];
}
