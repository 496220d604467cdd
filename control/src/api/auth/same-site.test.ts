import assert from 'node:assert/strict';
import { test } from 'node:test';
import { type Provenance, provenanceOf } from './same-site.ts';

const OWN = new Set(['https://airlock.example', 'http://127.0.0.1:8080']);
type Headers = Parameters<typeof provenanceOf>[0];

const rows: Array<[Headers, Provenance]> = [
  [{ origin: 'https://airlock.example' }, 'own'],
  [{ origin: 'http://127.0.0.1:8080', 'sec-fetch-site': 'same-origin' }, 'own'],
  [{ 'sec-fetch-site': 'same-origin' }, 'own'],
  [{ 'sec-fetch-site': 'none' }, 'own'],
  [{ 'sec-fetch-site': 'same-origin', referer: 'https://airlock.example/dags?a=1' }, 'own'],
  // A listed origin is another site to the browser.
  [{ 'sec-fetch-site': 'same-site', origin: 'https://airlock.example' }, 'own'],
  [{}, 'unsaid'],
  // A page can be told to send its own address as referrer of a request elsewhere, but never ours; alone it proves nothing.
  [{ referer: 'https://airlock.example/' }, 'unsaid'],
  [{ 'sec-fetch-site': 'cross-site' }, 'foreign'],
  [{ 'sec-fetch-site': 'same-site' }, 'foreign'],
  [{ 'sec-fetch-site': 'same-origin, cross-site' }, 'foreign'],
  [{ 'sec-fetch-site': '' }, 'foreign'],
  [{ 'sec-fetch-site': 'SAME-ORIGIN' }, 'foreign'],
  [{ origin: 'null' }, 'foreign'],
  [{ origin: '' }, 'foreign'],
  [{ origin: 'https://evil.example' }, 'foreign'],
  [{ origin: 'http://airlock.example' }, 'foreign'],
  [{ origin: 'https://airlock.example:8443' }, 'foreign'],
  [{ origin: 'https://airlock.example.evil.example' }, 'foreign'],
  [{ origin: 'https://evil.example', 'sec-fetch-site': 'same-origin' }, 'foreign'],
  [{ origin: 'https://airlock.example', referer: 'https://evil.example/' }, 'foreign'],
  [{ 'sec-fetch-site': 'same-origin', referer: 'https://evil.example/' }, 'foreign'],
  [{ 'sec-fetch-site': 'none', referer: 'no address' }, 'foreign'],
  [{ referer: 'https://airlock.example@evil.example/' }, 'foreign'],
];

for (const [headers, expected] of rows) {
  test(`${JSON.stringify(headers)} is ${expected}`, () => assert.equal(provenanceOf(headers, OWN), expected));
}
