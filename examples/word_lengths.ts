/** Fan-out over two lists and over a result, and the fan-in that collects them: typed from end to end. */
import { dag } from '@airlock/sdk';

export default dag(
  'word_lengths',
  {
    schedule: '@daily',
    startDate: '2026-01-01',
    paused: true,
    tags: ['example'],
    description: 'Maps a task over the words that another one found',
  },
  (d) => {
    const split = d.task('split', {
      run: async ({ text }: { text: string }) => [...(text.toLowerCase().match(/[a-z]+/g) ?? [])],
    });
    const measure = d.task('measure', { run: async ({ word }: { word: string }) => ({ word, letters: word.length }) });
    const longest = d.task('longest', {
      run: async ({ words }: { words: { word: string; letters: number }[] }) =>
        words.reduce((most, next) => (next.letters > most.letters ? next : most)),
    });
    const words = split({ text: 'A compromised task can only be itself' });
    longest({ words: measure.map({ word: words }, { concurrency: 4 }) });
  },
);
