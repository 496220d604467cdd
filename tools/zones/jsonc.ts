/** Reads JSON with comments and trailing commas. @throws SyntaxError */
export function parseJsonc(text: string): unknown {
  // Strings are matched first and kept, so that a slash inside one is no comment.
  const stripped = text.replace(
    /("(?:[^"\\]|\\.)*")|\/\/[^\n]*|\/\*[\s\S]*?\*\//g,
    (_all, string: string | undefined) => string ?? '',
  );
  return JSON.parse(
    stripped.replace(/("(?:[^"\\]|\\.)*")|,(?=\s*[}\]])/g, (_all, string: string | undefined) => string ?? ''),
  );
}
