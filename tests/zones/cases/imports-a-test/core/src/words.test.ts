export const helper = ['one'];
