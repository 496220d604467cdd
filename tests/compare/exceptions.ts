/** Dags, and files, that may end otherwise on Airlock, each with the reason that the page of the comparison shows. */
const ONE_ADDRESS =
  'its asset shares its URI with an asset of another name in another example; which of the two is active depends on which file is read first, on Airflow as here';

export const EXCEPTIONS: Readonly<Record<string, string>> = {
  asset_with_extra_by_context: ONE_ADDRESS,
  asset_with_extra_by_yield: ONE_ADDRESS,
  asset_with_extra_from_classic_operator: ONE_ADDRESS,
  read_asset_event: ONE_ADDRESS,
  read_asset_event_from_classic: ONE_ADDRESS,
};
