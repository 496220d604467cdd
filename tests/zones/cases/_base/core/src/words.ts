export const words: readonly string[] = ['one', 'two'];
