/** What `import text from './data/x.csv' with { type: 'text' }` gives. */
declare module '*.csv' {
  const text: string;
  export default text;
}
