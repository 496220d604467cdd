/** Dags, and files, that may end otherwise on Airlock, each with the reason that the page of the comparison shows. */
export const EXCEPTIONS: Readonly<Record<string, string>> = {};
