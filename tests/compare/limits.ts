/** Dags whose runs take long by themselves, and how long they may take, seconds. Any other has the bound of the call. */
export const LONGER_SECONDS: Readonly<Record<string, number>> = {
  // Virtual environments with numpy, from an index of packages.
  example_branch_operator: 300,
  example_branch_python_operator_decorator: 300,
  // Three requests to a person, one after the other.
  example_hitl_operator: 300,
  // Five retries of a minute each.
  example_retry_policy: 450,
};
