/**
 * The time, as an argument. Nothing in auth/ reads the machine's clock by itself, so every expiry can be tested without
 * waiting for it.
 */

/** Milliseconds since the epoch. May step backwards: a machine's clock does when it is corrected. */
export type Clock = () => number
