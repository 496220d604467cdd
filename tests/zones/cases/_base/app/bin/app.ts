import '../src/main.ts';
