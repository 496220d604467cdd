/** Descriptor number of the channel in every process that we start, runners included. */
export const CHANNEL_FD = 3;
