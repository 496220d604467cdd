export const count = Number(process.env.COUNT);
