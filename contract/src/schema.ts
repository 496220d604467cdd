/** The one schema library, from one place: packages that only check shapes need no dependency of their own on it. */
export { z } from 'zod';
